"""A whole log as files, in the layout of c2sp.org/tlog-tiles: written, read and checked; no network but `--rpc`.

    python -m ledger fsck DIR [--trust FILE --fingerprint HEX] [--rpc URL ...]

`checkpoint`, `tile/<level>/<N>`, `tile/entries/<N>` as served below /log/; beside them `notes/` (every published note)
and `anchors.json` (size, root, transaction, block of each anchor). Without a trust file only the tree is checked: that
leaves, tiles and roots fit together. With one also the signatures, with `--rpc` also the anchors.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ledger.anchor import log_id_of
from ledger.checkpoint import Checkpoint, parse_note
from ledger.documents import load_json
from ledger.endpoint import Endpoints
from ledger.errors import ChainUnavailable, LedgerError
from ledger.fsck import Report, check_note, rebuild
from ledger.log import TILE_WIDTH
from ledger.merkle import HASH_SIZE, leaf_hash
from ledger.shapes import digest, fields, hex0x, integer, items, nullable
from ledger.tiles import bundle, name_of, read_bundle, width_at
from ledger.trust import Trust, load_trust

ANCHORS = items(fields({"size": integer(1), "root": digest, "tx": hex0x(32), "block": nullable(integer(0))}), 0, 10**7)


def write_file(folder: Path, name: str, content: bytes) -> None:
    """One file of the log, with the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_log(folder: Path, note: str, *, tiles: Iterable[tuple[int, int, bytes]], leaves: Iterable[Sequence[bytes]],
              notes: Iterable[str] = (), anchors: Sequence[dict[str, Any]] = ()) -> None:
    """The folder; `tiles` as (level, index, hashes), `leaves` in bundles of up to 256. The checkpoint comes last."""
    for level, index, hashes in tiles:
        write_file(folder, f"tile/{level}/{name_of(index, len(hashes) // HASH_SIZE)}", hashes)
    for index, held in enumerate(leaves):
        write_file(folder, f"tile/entries/{name_of(index, len(held))}", bundle(held))
    for number, one in enumerate(notes):
        write_file(folder, f"notes/{number:08}.txt", one.encode())
    write_file(folder, "anchors.json", (json.dumps(list(anchors), indent=1) + "\n").encode())
    write_file(folder, "checkpoint", note.encode())


class LogDir:
    """An exported log; what it holds is believed by nobody yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note = self._read("checkpoint").decode()
        self.checkpoint = parse_note(self.note).checkpoint

    def notes(self) -> list[str]:
        return [one.read_text() for one in sorted((self.folder / "notes").glob("*.txt"))]

    def anchors(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = load_json(self._read("anchors.json") or b"[]")
        ANCHORS(found, "/anchors.json")
        return found

    def tile(self, level: int, index: int) -> bytes:
        width = width_at(self.checkpoint.size, level, index)
        return self._read(f"tile/{level}/{name_of(index, width)}") if width else b""

    def leaf_hashes(self) -> Iterator[bytes]:
        for index in range(-(-self.checkpoint.size // TILE_WIDTH)):
            width = width_at(self.checkpoint.size, 0, index)
            held = read_bundle(self._read(f"tile/entries/{name_of(index, width)}"))
            yield from (leaf_hash(one) for one in held[:width])
            if len(held) < width:  # whatever size the checkpoint claims
                return

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return b""


def fsck(log: LogDir, trust: Trust | None = None, *, rpc: Sequence[str] = ()) -> Report:
    """Everything that can be checked of the folder with what is given."""
    report = Report()
    claims: dict[int, list[tuple[str, bytes]]] = {}
    for word, note in [("checkpoint", log.note), *((f"note {n}", one) for n, one in enumerate(log.notes()))]:
        for found in _signed(report, word, note, trust):
            claims.setdefault(found.size, []).append((word, found.root))
    chain = Endpoints(trust, rpc) if trust and rpc else None
    for anchor in log.anchors():
        claims.setdefault(anchor["size"], []).append(("anchor", bytes.fromhex(anchor["root"])))
        if trust and chain and chain.root_at(log_id_of(trust.log.origin), anchor["size"]) != "0x" + anchor["root"]:
            report.add("log.anchor", f"the chain holds another root, or none, at size {anchor['size']}")
    rebuild(log.leaf_hashes(), tile=log.tile, claims=claims, report=report)
    if report.size != log.checkpoint.size:
        report.add("log.short", f"the checkpoint says {log.checkpoint.size} leaves, there are {report.size}")
    return report


def _signed(report: Report, word: str, note: str, trust: Trust | None) -> list[Checkpoint]:
    try:
        if trust is None:
            return [parse_note(note).checkpoint]
        return [check_note(note, origin=trust.log.origin, key=trust.log.key, witnesses=trust.witnesses.keys,
                           k=trust.witnesses.k)]
    except LedgerError as wrong:
        report.add(wrong.code, f"{word}: {wrong.message}")
        return []


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: whole; 1: it is not; 2: something could not be read, or the chain not be asked."""
    parser = argparse.ArgumentParser(prog="python -m ledger fsck", description="Check a log exported as files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trust", type=Path, help="the space's signed trust file")
    parser.add_argument("--fingerprint", help="of the regulator's root key, from outside the portal")
    parser.add_argument("--rpc", action="append", default=[], metavar="URL", help="an endpoint to ask for the anchors")
    given = parser.parse_args(arguments)
    if bool(given.trust) != bool(given.fingerprint) or (given.rpc and not given.trust):
        parser.error("--trust and --fingerprint belong together, and --rpc needs both")
    try:
        trust = load_trust(given.trust, fingerprint=given.fingerprint) if given.trust else None
        report = fsck(LogDir(given.folder), trust, rpc=given.rpc)
    except (OSError, UnicodeDecodeError, ChainUnavailable) as trouble:
        print(f"cannot read: {trouble}", file=sys.stderr)
        return 2
    except LedgerError as wrong:
        print(f"invalid: {wrong}", file=sys.stderr)
        return 1
    return tell(report, signatures=trust is not None, chain=bool(given.rpc))


def tell(report: Report, *, signatures: bool, chain: bool) -> int:
    """Print what was found; an unchecked part is never called whole."""
    for one in report.findings:
        print(f"{one.code}: {one.message}")
    print(f"{report.size} leaves, root {report.root.hex()}")
    unchecked = [word for word, done in (("signatures", signatures), ("anchors on the chain", chain)) if not done]
    print("the log is whole" if report.whole else f"{len(report.findings)} findings: the log is NOT whole")
    if unchecked:
        print(f"not checked: {', '.join(unchecked)}")
    return 0 if report.whole else 1

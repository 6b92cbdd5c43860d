"""What the embedded chain keeps on disk: which chain it is, snapshots, and the journal of all that happened since.

    chain.json             chain id, genesis time and hash
    000000000123.state.json  a whole dump at that height; the three newest are kept
    000000000123.journal     what came after that height, line by line: `tx RAW` or `block NUMBER TIME`

A line is on the disk (fsync) before what it tells of is done; a snapshot is whole or absent (written aside, fsync,
rename). A journal is deleted only when no snapshot that is kept needs it. Nothing here talks to a chain.
"""

import fcntl
import json
import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from deploy.anvil import ChainTrouble

GENERATIONS = 3


@dataclass(frozen=True)
class Sent:
    """A transaction that came through the door; a full line is a promise that it is never forgotten."""

    raw: str


@dataclass(frozen=True)
class Made:
    """A block that was made, or was about to be."""

    number: int
    time: int


class ChainStore:
    """One chain's folder, held by one process."""

    def __init__(self, home: Path, *, chain_id: int | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._take_lock()
        self._journal: BinaryIO | None = None
        self._end = 0
        try:
            self.identity = self._read_identity(chain_id)
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._lock.close()

    def settle_identity(self, **values: Any) -> None:
        """Which chain this folder holds, written when it first runs."""
        self.identity |= values
        self._write_aside((json.dumps(self.identity) + "\n").encode()).replace(self.home / "chain.json")
        self._sync_folder()

    def states(self) -> list[Path]:
        """Snapshots, the newest first."""
        return sorted(self.home.glob("*.state.json"), reverse=True)

    def journals(self) -> list[Path]:
        """Journals, the oldest first."""
        return sorted(self.home.glob("*.journal"))

    def entries(self, since: int) -> Iterator[Sent | Made]:
        """What came after that height. A torn last line was never acted on; any other is an error."""
        journals = [journal for journal in self.journals() if _height(journal) >= since]
        for journal in journals:
            whole, torn = _lines(journal)
            if torn and journal is not journals[-1]:
                raise ChainTrouble(f"{journal.name} is damaged")
            yield from (_entry(line) for line in whole)

    def open_journal(self) -> None:
        """Go on writing where the newest journal ends; its torn last line, if there is one, is cut off."""
        journals = self.journals()
        if not journals:
            self._begin_journal(0, [])
            return
        whole, _ = _lines(journals[-1])
        self._journal = journals[-1].open("r+b", buffering=0)
        self._end = sum(len(_line(text)) for text in whole)
        self._journal.truncate(self._end)
        self._journal.seek(self._end)

    def append(self, entries: Sequence[Sent | Made]) -> None:
        """On the disk when this returns; nothing of it is, as far as a reader can tell, when it raises."""
        if self._journal is None:
            raise ChainTrouble("the journal is not open")
        data = b"".join(_line(_text(entry)) for entry in entries)
        try:
            if self._journal.write(data) != len(data):
                raise OSError("the journal cannot be written: the disk is full")
            os.fsync(self._journal.fileno())
        except OSError:
            self._journal.truncate(self._end)
            self._journal.seek(self._end)
            raise
        self._end += len(data)

    def keep(self, state: bytes, height: int, waiting: Sequence[str]) -> None:
        """A new snapshot and a new journal that begins with what still waits; then forget what nobody needs."""
        aside = self._write_aside(state)
        self._begin_journal(height, waiting)
        aside.replace(self.home / f"{height:012d}.state.json")
        self._sync_folder()
        kept = self.states()[:GENERATIONS]
        for state_file in self.states()[GENERATIONS:]:
            state_file.unlink()
        if len(kept) == GENERATIONS:
            oldest = _height(kept[-1])
            for journal in self.journals():
                if _height(journal) < oldest:
                    journal.unlink()
        self._sync_folder()

    def _begin_journal(self, height: int, waiting: Sequence[str]) -> None:
        """On the disk before anything is written to it, and before the snapshot that it follows."""
        data = b"".join(_line(_text(Sent(raw))) for raw in waiting)
        path = self.home / f"{height:012d}.journal"
        self._write_aside(data, name="journal.tmp").replace(path)
        self._sync_folder()
        if self._journal is not None:
            self._journal.close()
        self._journal = path.open("r+b", buffering=0)
        self._end = len(data)
        self._journal.seek(self._end)

    def _take_lock(self) -> TextIO:
        lock = (self.home / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as trouble:
            lock.close()
            raise ChainTrouble(f"another process runs the chain in {self.home}") from trouble
        return lock

    def _read_identity(self, wanted: int | None) -> dict[str, Any]:
        """The chain id is random for each installation: no signature of one space is worth anything in another."""
        file = self.home / "chain.json"
        if not file.exists():
            if self.states() or self.journals():
                raise ChainTrouble(f"{self.home} holds a chain, but not which one: chain.json is gone")
            return {"chain_id": wanted or secrets.randbelow(2**31 - 2**24) + 2**24}
        stored: dict[str, Any] = json.loads(file.read_text())
        if wanted not in (None, stored["chain_id"]):
            raise ChainTrouble(f"the chain in {self.home} has id {stored['chain_id']}, not {wanted}")
        return stored

    def _write_aside(self, data: bytes, *, name: str = "aside.tmp") -> Path:
        """Bytes that are on the disk, under a name nobody reads; to be renamed."""
        aside = self.home / name
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return aside

    def _sync_folder(self) -> None:
        folder = os.open(self.home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _height(path: Path) -> int:
    return int(path.name.split(".", 1)[0])


def _text(entry: Sent | Made) -> str:
    return f"tx {entry.raw}" if isinstance(entry, Sent) else f"block {entry.number} {entry.time}"


def _entry(text: str) -> Sent | Made:
    kind, *rest = text.split(" ")
    return Sent(rest[0]) if kind == "tx" else Made(int(rest[0]), int(rest[1]))


def _line(text: str) -> bytes:
    """With a checksum in front, so that a torn line is known for one."""
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _lines(journal: Path) -> tuple[list[str], bool]:
    """The whole lines from the beginning, and whether something that is none comes after them."""
    whole: list[str] = []
    *lines, rest = journal.read_bytes().split(b"\n")
    for line in lines:
        text = line[9:].decode("ascii", "replace")
        if _line(text) != line + b"\n":
            return whole, True
        whole.append(text)
    return whole, bool(rest)

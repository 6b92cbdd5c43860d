"""A log built anew from its leaves: what fits is whole, and every damage is found and named."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import logdir
from ledger.checkpoint import cosign, sign_checkpoint
from ledger.errors import VerificationError
from ledger.fsck import Builder, Head, Report, check_not_behind, rebuild
from ledger.log import Log, MemoryStore
from ledger.logdir import LogDir
from ledger.merkle import leaf_hash
from ledger.tiles import all_tiles, bundle, index_path, read_bundle, read_name
from ledger.trust import fingerprint_of_root
from tests.unit.ledger.people import People

COUNT = 600


@pytest.fixture(scope="module")
def leaves() -> list[bytes]:
    return [secrets.token_bytes(32) for _ in range(COUNT)]


@pytest.fixture
def store(leaves: list[bytes]) -> MemoryStore:
    made = MemoryStore()
    Log(made).append([leaf_hash(one) for one in leaves])
    return made


def check(leaves: list[bytes], store: MemoryStore, **claims: bytes) -> Report:
    found = {int(size[1:]): [("somebody", root)] for size, root in claims.items()}
    return rebuild((leaf_hash(one) for one in leaves), tile=store.tile, claims=found)


def codes(report: Report) -> list[str]:
    return [one.code for one in report.findings]


def test_it_works(leaves: list[bytes], store: MemoryStore) -> None:
    log = Log(store)
    report = check(leaves, store, s1=log.root(1), s256=log.root(256), s599=log.root(599), s600=log.root(600))
    assert report.whole
    assert (report.size, report.root) == (COUNT, log.root())


def test_a_builder_makes_the_logs_roots_and_tiles() -> None:
    store, builder, full = MemoryStore(), Builder(), dict[tuple[int, int], bytes]()
    log = Log(store)
    for number in range(70_000):
        hashed = leaf_hash(number.to_bytes(4))
        full |= {(level, index): data for level, index, data in builder.add(hashed)}
        if number % 10_007 == 0:
            log.append([leaf_hash(one.to_bytes(4)) for one in range(log.size, number + 1)])
            assert builder.root() == log.root()
    log.append([leaf_hash(one.to_bytes(4)) for one in range(log.size, 70_000)])
    assert full == {key: data for key, data in store.tiles.items() if len(data) == 8192}
    assert (1, 0) in full
    assert [bytes(one) for one in builder.tiles] == [store.tile(0, 273), store.tile(1, 1), store.tile(2, 0)]


@pytest.mark.parametrize("key", [(0, 0), (0, 2), (1, 0)])
@pytest.mark.parametrize("how", [lambda data: b"", lambda data: data[:-32], lambda data: bytes(32) + data[32:],
                                 lambda data: data + bytes(32)])
def test_every_damaged_tile_is_named(leaves: list[bytes], store: MemoryStore, key: tuple[int, int],
                                     how: Callable[[bytes], bytes]) -> None:
    store.tiles[key] = how(store.tiles[key])
    report = check(leaves, store)
    assert codes(report) == ["log.tile"]
    assert f"{key[0]}/{key[1]}" in report.findings[0].message


def test_a_changed_lost_or_moved_leaf_is_found(leaves: list[bytes], store: MemoryStore) -> None:
    root = Log(store).root()
    for changed in ([*leaves[:9], bytes(32), *leaves[10:]], leaves[1:], [leaves[1], leaves[0], *leaves[2:]]):
        assert set(codes(check(changed, store, s600=root))) & {"log.root", "log.short"}
        assert "log.tile" in codes(check(changed, store, s600=root))
    assert codes(check(leaves, store, s601=root)) == ["log.short"]
    assert codes(check(leaves, store, s300=root)) == ["log.root"]


def test_whoever_knows_a_longer_or_another_log_stops_writing(store: MemoryStore) -> None:
    log = Log(store)
    check_not_behind(log, [Head("chain", 600, log.root()), Head("mark", 5, log.root(5)), Head("witnesses", 9, None),
                           Head("chain", 0, None)])
    for head in (Head("chain", 601, None), Head("chain", 5, bytes(32)), Head("chain", 600, log.root(5))):
        with pytest.raises(VerificationError) as behind:
            check_not_behind(log, [head])
        assert behind.value.code == "ledger.behind_chain"
        assert "rescue-the-ledger" in behind.value.message
    with pytest.raises(VerificationError, match=r"ledger\.behind_witnesses"):
        check_not_behind(log, [Head("witnesses", 601, None)])


def test_paths_have_one_spelling() -> None:
    for number, path in ((0, "000"), (7, "007"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067")):
        assert index_path(number) == path
        assert read_name(path) == (number, 256)
        assert read_name(path + ".p/255") == (number, 255)
    for wrong in ("", "1", "0000", "x000/001", "001/002", "x001", "001.p/0", "001.p/256", "001.p/01", "001.p/", "../1"):
        with pytest.raises(VerificationError):
            read_name(wrong)
    assert list(all_tiles(70_000))[273:] == [
        (0, 273, 112), (1, 0, 256), (1, 1, 17), (2, 0, 1)], "the example of the specification"
    assert list(all_tiles(256)) == [(0, 0, 256), (1, 0, 1)]
    assert read_bundle(bundle([b"", b"x" * 65_535, b"y"])) == [b"", b"x" * 65_535, b"y"]
    with pytest.raises(VerificationError):
        read_bundle(bundle([b"xyz"])[:-1])


@pytest.fixture
def folder(people: People, leaves: list[bytes], store: MemoryStore, tmp_path: Path) -> Path:
    log = Log(store)
    notes = [sign_checkpoint(people.trust.log.origin, size, log.root(size), people.log_key) for size in (3, 600)]
    logdir.write_log(
        tmp_path / "out", notes[-1], notes=notes,
        tiles=((level, index, log.tile(level, index, width)) for level, index, width in all_tiles(COUNT)),
        leaves=(leaves[at:at + 256] for at in range(0, COUNT, 256)),
        anchors=[{"size": 3, "root": log.root(3).hex(), "tx": "0x" + "00" * 32, "block": 7}])
    (tmp_path / "trust.json").write_text(json.dumps(people.trust_wire))
    return tmp_path / "out"


def command(folder: Path, people: People, *more: str) -> int:
    fingerprint = fingerprint_of_root(people.trust.root)
    return logdir.main([str(folder), "--trust", str(folder.parent / "trust.json"), "--fingerprint", fingerprint, *more])


def test_an_exported_log_is_checked_from_its_files_alone(folder: Path, people: People,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, people) == 0
    said = capsys.readouterr().out
    assert "600 leaves" in said
    assert "not checked: anchors on the chain" in said
    assert logdir.main([str(folder)]) == 0
    assert "not checked: signatures, anchors on the chain" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/000",
                                  "tile/entries/002.p/88", "notes/00000000.txt", "anchors.json"])
def test_every_changed_file_is_found(folder: Path, people: People, name: str,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / name
    raw = bytearray(file.read_bytes())
    at = raw.index(b"root") + 10 if name == "anchors.json" else len(raw) // 2
    raw[at] ^= 1
    file.write_bytes(raw)
    assert command(folder, people) == 1
    if name != "anchors.json":
        file.unlink()
        assert command(folder, people) in (1, 2) or name.startswith("notes")
    capsys.readouterr()


def test_a_size_that_nobody_could_hold_ends_the_check_at_the_first_missing_leaf(
        folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[str](), LogDir._read

    def read(log: LogDir, name: str) -> bytes:
        asked.append(name)
        if len(asked) > 1000:
            pytest.fail("it goes on asking for what is not there")
        return real(log, name)

    monkeypatch.setattr(LogDir, "_read", read)
    (folder / "checkpoint").write_text(sign_checkpoint("xinglin/x", 10**18, bytes(32), Ed25519PrivateKey.generate()))
    assert logdir.main([str(folder)]) == 1
    assert "log.short" in capsys.readouterr().out


def test_a_note_that_too_few_witnesses_cosigned_is_found(folder: Path, people: People) -> None:
    from dataclasses import replace

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ledger.documents import public_hex
    from ledger.trust import WitnessTrust

    witness = Ed25519PrivateKey.generate()
    trust = replace(people.trust, witnesses=WitnessTrust(1, (public_hex(witness),)))
    assert set(codes(logdir.fsck(logdir.LogDir(folder), trust))) == {"checkpoint.witnesses"}
    for file in [folder / "checkpoint", *(folder / "notes").iterdir()]:
        file.write_text(cosign(file.read_text(), witness, name="w", now=1))
    assert logdir.fsck(logdir.LogDir(folder), trust).whole

"""The local record: every line follows from the one before; a change, a gap or a cut is noticed; a crash is not one."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mpc.node.audit import AN_HOUR, EACH, Audit
from mpc.node.book import Book
from mpc.node.cases import Cases
from mpc.node.errors import Refused, Unfit


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit.jsonl", Cases(Book(tmp_path / "node.sqlite3")))


def broken(audit: Audit) -> str:
    with pytest.raises(Unfit) as caught:
        audit.verify()
    assert caught.value.code == "audit.broken"
    return caught.value.text


def test_it_works(audit: Audit) -> None:
    for number in range(3):
        audit.write("verdict", job=f"j{number}", code=None)
    found = audit.verify()
    assert found.lines == 3 and [line["seq"] for line in audit.lines()] == [1, 2, 3]
    assert audit.path.stat().st_mode & 0o777 == 0o600


def test_an_empty_record_holds(audit: Audit) -> None:
    assert audit.verify().lines == 0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_line(audit: Audit, place: int) -> None:
    for number in range(3):
        audit.write("verdict", code=f"c{number}")
    lines = audit.path.read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b'"c', b'"d')
    audit.path.write_bytes(b"".join(lines))
    assert "line" in broken(audit)


def test_a_line_taken_out_or_put_in(audit: Audit) -> None:
    for number in range(4):
        audit.write("verdict", code=f"c{number}")
    lines = audit.path.read_bytes().splitlines(keepends=True)
    for changed in (lines[:1] + lines[2:], [*lines[:2], lines[1], *lines[2:]], [lines[1], lines[0], *lines[2:]]):
        audit.path.write_bytes(b"".join(changed))
        assert "number" in broken(audit)


def test_a_record_that_was_shortened_or_begun_anew(audit: Audit) -> None:
    for number in range(3):
        audit.write("verdict", code=f"c{number}")
    lines = audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(b"".join(lines[:2]))
    assert "line 3 is missing" in broken(audit)
    audit.path.unlink()
    assert "line 3 is missing" in broken(audit)


def test_a_record_that_was_removed_stays_broken(audit: Audit) -> None:
    """Else whoever removes it need only wait for the next line: the book would know that one as its newest."""
    for number in range(3):
        audit.write("verdict", code=f"c{number}")
    lines = audit.path.read_bytes().splitlines(keepends=True)
    for left in (b"", lines[0], lines[0] + lines[1] + lines[2].replace(b"c2", b"d2")):
        audit.path.write_bytes(left)
        audit.write("verdict", code="after")
        assert "line" in broken(audit)


def test_a_line_cut_off_by_a_crash_is_no_forgery(audit: Audit) -> None:
    audit.write("verdict", code="c0")
    with audit.path.open("ab") as file:
        file.write(b'{"at":"2026-11')
    assert audit.verify().lines == 1
    audit.write("verdict", code="c1")
    assert audit.verify().lines == 2


def test_long_lines_are_followed_too(audit: Audit) -> None:
    for size in (10, 9000, 20000, 10):
        audit.write("verdict", rule="x" * size)
    assert audit.verify().lines == 4


def test_two_processes_write_one_record(audit: Audit) -> None:
    program = ("import sys; from pathlib import Path; from mpc.node.audit import Audit\n"
               "from mpc.node.book import Book\n"
               "from mpc.node.cases import Cases\nhome = Path(sys.argv[1])\n"
               "audit = Audit(home / 'audit.jsonl', Cases(Book(home / 'node.sqlite3')))\n"
               "for number in range(15): audit.write('verdict', job=f'{sys.argv[2]}-{number}')")
    both = [subprocess.Popen([sys.executable, "-c", program, str(audit.path.parent), name]) for name in "ab"]
    assert [one.wait(60) for one in both] == [0, 0]
    assert audit.verify().lines == 30


def test_lines_go_to_syslog_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        port = collector.getsockname()[1]
        audit = Audit(tmp_path / "audit.jsonl", Cases(Book(tmp_path / "b.sqlite3")), syslog=f"127.0.0.1:{port}")
        audit.write("hand.stop", by="officer")
        said = collector.recv(4096).decode()
    line = json.loads(said[said.index("{"):].rstrip("\0"))
    assert line == next(audit.lines()) and line["facts"] == {"by": "officer"}
    with pytest.raises(Unfit):
        Audit(tmp_path / "a", Cases(Book(tmp_path / "c.sqlite3")), syslog="nowhere")


def test_a_full_disk_stops_acts_and_not_refusals(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        audit.write("hand.release", job="x")
    with pytest.raises(Refused) as refused:
        audit.keep("verdict", job="x")
    assert refused.value.code == "node.disk_full"
    audit.note("verdict", job="x")


def test_what_cannot_be_recorded_is_not_done(audit: Audit) -> None:
    audit.path.mkdir()  # nobody may write there, whoever one is
    with pytest.raises(Refused) as refused:
        audit.keep("verdict", job="x")
    assert refused.value.code == "node.unrecorded"
    audit.note("session.failed", job="x")


def test_a_flood_of_one_refusal_does_not_fill_the_disk(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for number in range(500):
        audit.note_often("verdict", "spec.malformed", job=f"j{number}")
    audit.note_often("verdict", "grant.revoked", job="another")
    lines = list(audit.lines())
    assert [line["facts"]["job"] for line in lines] == [*(f"j{number}" for number in range(EACH)), "another"]
    now[0] += AN_HOUR + 1
    audit.note_often("verdict", "spec.malformed", job="later")
    audit.note_often("verdict", "spec.malformed", job="later still")
    audit.settle(every=True)
    said = [(line["event"], line["facts"]) for line in audit.lines()][len(lines):]
    assert said == [("verdict.repeated", {"code": "spec.malformed", "times": 500 - EACH}),
                    ("verdict", {"code": "spec.malformed", "job": "later"}),
                    ("verdict", {"code": "spec.malformed", "job": "later still"})]
    assert audit.verify().lines == EACH + 4

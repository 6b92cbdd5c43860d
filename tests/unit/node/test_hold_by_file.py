"""A suspension that the portal keeps to itself reaches a node by file, holds there, and is lifted by file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ledger.approval import domain_of, grant_chain_id, participants_domain_of, sign_suspension
from ledger.keys import EthKey
from ledger.participant import record_chain_id
from mpc.node import inbox
from mpc.node.book import Book
from mpc.node.checks import check_not_revoked
from mpc.node.errors import Refused
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import NOW, World


@pytest.fixture
def papers(world: World) -> Papers:
    return verify_papers(world.item(), me=world.me("hospital_a"), trust=world.trust, now=NOW)


class Hospital:
    """A book and an inbox, and what they say of these papers."""

    def __init__(self, folder: Path, papers: Papers, world: World) -> None:
        self.folder, self.papers, self.world, self.book = folder, papers, world, Book(folder / "book.sqlite3")

    def hand(self, about: str, on: bool, number: int, key: EthKey) -> None:
        subject, chain_id, domain = self.of(about)
        said = sign_suspension(chain_id, on, number, key, domain)
        inbox.drop(self.folder / "inbox", {"type": "hold", "version": 1, "about": about, "subject": subject,
                                           "suspension": said})

    def of(self, about: str) -> tuple[str, str, Any]:
        if about == "grant":
            custodian = self.world.keys["hospital_b"].participant
            grant = next(one for one in self.papers.grants if one.terms["custodian"] == custodian)
            return grant.id, grant_chain_id(grant.terms), domain_of(self.world.trust)
        record = self.world.record("hospital_b")
        return record["id"], record_chain_id(record), participants_domain_of(self.world.trust)

    def judge(self) -> str:
        inbox.take(self.folder / "inbox", self.book)
        known = self.book.revocations([*(one.id for one in self.papers.grants), *self.papers.records])
        try:
            check_not_revoked(self.papers.grants, known, self.world.trust, self.papers.records)
        except Refused as refusal:
            return refusal.code
        return "accept"


@pytest.fixture
def hospital(tmp_path: Path, papers: Papers, world: World) -> Hospital:
    return Hospital(tmp_path, papers, world)


@pytest.mark.parametrize("about", ["grant", "participant"])
def test_it_works(hospital: Hospital, world: World, about: str) -> None:
    office = world.approver("office")
    assert hospital.judge() == "accept"
    hospital.hand(about, True, 5, office)
    assert hospital.judge() == hospital.judge() == f"{about}.suspended", "and it stays"
    hospital.hand(about, False, 4, office)
    assert hospital.judge() == f"{about}.suspended", "an earlier word does not lift it"
    hospital.hand(about, False, 6, office)
    assert hospital.judge() == "accept"
    hospital.hand(about, True, 5, office)
    assert hospital.judge() == "accept", "nor does an earlier one hold again"


@pytest.mark.parametrize("about", ["grant", "participant"])
def test_a_strangers_word_is_none(hospital: Hospital, world: World, about: str) -> None:
    for key in (EthKey.create(), world.approver("hospital_a")):
        hospital.hand(about, True, 5, key)
        assert hospital.judge() == "accept"
    hospital.hand(about, True, 5, world.approver("office"))
    for key in (EthKey.create(), world.approver("hospital_a")):
        hospital.hand(about, False, 9, key)
    assert hospital.judge() == f"{about}.suspended"


def test_each_side_lets_go_of_its_own(hospital: Hospital, world: World) -> None:
    hospital.hand("grant", True, 5, world.approver("hospital_b"))
    hospital.hand("grant", False, 9, world.approver("office"))
    assert hospital.judge() == "grant.suspended"
    hospital.hand("grant", False, 6, world.approver("hospital_b"))
    assert hospital.judge() == "accept"


def test_of_two_words_with_one_number_the_careful_one_counts(hospital: Hospital, world: World) -> None:
    for on, said in ((False, "accept"), (True, "grant.suspended"), (False, "grant.suspended")):
        hospital.hand("grant", on, 5, world.approver("office"))
        assert hospital.judge() == said


def test_nobody_uses_the_numbers_up(hospital: Hospital, world: World) -> None:
    """With a stolen key, so that no later word of that side would count; the contract has the same bound."""
    office, now = world.approver("office"), time.time_ns() // 1_000_000
    hospital.hand("grant", False, now + 2 * 86_400_000, office)
    hospital.hand("grant", True, now + 86_000_000, office)
    assert hospital.judge() == "grant.suspended"
    assert len(list((hospital.folder / "inbox" / "refused").iterdir())) == 1


def test_a_machine_in_trouble_puts_nothing_aside(
        hospital: Hospital, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No handle left, a disk that reads badly: what was handed over is good all the same, and is read again."""
    hospital.hand("grant", True, 5, world.approver("office"))

    def fails(*_: Any) -> Any:
        raise OSError(24, "Too many open files")
    for broken in ("pathlib.Path.read_bytes", "os.replace"):
        with monkeypatch.context() as trouble:
            trouble.setattr(broken, fails)
            said = hospital.judge()
        assert len(list((hospital.folder / "inbox").glob("*.json"))) == 1
    assert said == hospital.judge() == "grant.suspended" and not (hospital.folder / "inbox" / "refused").exists()
    assert list((hospital.folder / "inbox").glob("*.json")) == []


def test_junk_is_put_aside(hospital: Hospital) -> None:
    for junk in ({"type": "hold"}, {"type": "hold", "version": 1, "about": "grant", "subject": "x", "suspension": {}}):
        inbox.drop(hospital.folder / "inbox", junk)
    assert inbox.take(hospital.folder / "inbox", hospital.book) == 0
    assert len(list((hospital.folder / "inbox" / "refused").iterdir())) == 2

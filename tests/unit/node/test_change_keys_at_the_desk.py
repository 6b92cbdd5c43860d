"""New keys at a home: made beside the old ones, offered under these, used once the chain holds the record."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.approval import domain_of, grant_chain_id, verify_suspension
from ledger.documents import document_hash, sign
from ledger.errors import PortalUnavailable
from ledger.keys import KeyFile
from ledger.participant import controller_of, record_chain_id, verify_next, verify_wire
from mpc.node import config, inbox, keysdesk, reach
from mpc.node.__main__ import main
from mpc.node.book import Book
from tests.simulators.node_world import ChainInMemory, Document, DoorInMemory, World


class Portal(DoorInMemory):
    """Takes what is posted and shows what a test puts on its shelves."""

    def get(self, path: str, params: Mapping[str, Any] | None = None, **_: Any) -> Any:
        if path not in self.shelves:
            raise PortalUnavailable(path)
        return self.shelves[path]


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Portal:
    made = Portal()

    def door(url: str, participant: str, key: object, **_: object) -> Portal:
        made.participant = participant
        return made
    monkeypatch.setattr(reach, "Door", door)
    return made


@dataclass
class Registry(ChainInMemory):
    """And what is proposed on it."""

    proposal: Any = None
    vetoes: list[tuple[int, str]] = field(default_factory=list)
    number: int = field(default_factory=lambda: time.time_ns() // 1_000_000 + 3_600_000)

    def participant_proposal(self, id: str) -> Any:
        return self.proposal

    def sign_veto_participant(self, sender: object, nonce: int, **values: Any) -> Any:
        return SimpleNamespace(raw=(values["number"], values["decider"]))

    def grant_suspensions(self, grant_id: str, *, by_custodian: bool) -> int:
        return self.number + by_custodian

    def sign_suspend_grant(self, sender: object, nonce: int, **values: Any) -> Any:
        return SimpleNamespace(raw=(values["number"], values["decider"]))

    def send_raw(self, raw: Any) -> str:
        self.vetoes.append(raw)
        return "0x"

    def wait(self, hash: str, *, seconds: float) -> None:
        self.proposal = None


@pytest.fixture
def chain(world: World, monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry.of(world, world.item())
    assert isinstance(made, Registry)

    @contextmanager
    def chain_of(desk: object) -> Iterator[Registry]:
        yield made
    monkeypatch.setattr(keysdesk, "chain_of", chain_of)
    return made


def home_of(world: World, folder: Path, name: str, role: str) -> Path:
    home = folder / name
    home.mkdir()
    keys = world.keys[name]
    for file in ("keys.json", "approver.json"):
        config.write_private(home / file, (world.folder / f"{name}.keys.json").read_text())
    own = json.loads((home / "keys.json").read_text())
    config.write_private(home / "keys.json", json.dumps({**own, "approval": None}))
    config.create(config.Config(home=home, participant=keys.participant, role=role, portal="http://127.0.0.1:1",
                                name_zh="x", name_en="x", fingerprint=world.fingerprint,
                                approver=world.approver(name).address, service=world.service(name).address))
    config.write_private(home / "trust.json", json.dumps(world.trust_wire))
    return home


@pytest.fixture
def home(world: World, tmp_path: Path, portal: Portal) -> Path:
    portal.shelves[f"/participants/{world.keys['hospital_a'].participant}"] = {"record": world.records["hospital_a"]}
    return home_of(world, tmp_path, "hospital_a", "provider")


def ran(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0) -> Any:
    assert main([str(one) for one in arguments]) == status
    said = capsys.readouterr()
    return json.loads(said.out) if status == 0 else said.err


def admit(world: World, portal: Portal, chain: Registry, wire: Document) -> None:
    """The office admits it and the chain holds it."""
    record = wire["document"]
    wire["signatures"].append(sign(record, world.keys["office"].signing))
    portal.shelves[f"/participants/{record['id']}"] = {"record": wire}
    chain.records[record_chain_id(record)] = "0x" + document_hash(record)


def test_it_works(capsys: pytest.CaptureFixture[str], world: World, home: Path, portal: Portal,
                  chain: Registry) -> None:
    before = KeyFile.load(home / "keys.json")
    answer = ran(capsys, "rotate", "--home", home, "--approver", "--keep")
    path, body = portal.posted[-1]
    wire = body["record"]
    record = verify_next(wire, world.record("hospital_a"), world.trust)
    assert (path, answer["number"]) == (f"/participants/{record['id']}/records", 2)
    assert answer["fingerprint"] == document_hash(record)[:32]
    assert before.service is not None and record["keys"]["service"] == before.service.address
    assert KeyFile.load(home / "keys.json").signing_public == before.signing_public  # until the chain holds it
    admit(world, portal, chain, wire)
    ran(capsys, "rotate", "--home", home, "--finish")
    after = KeyFile.load(home / "keys.json")
    assert (after.signing_public, after.sealing_public) == (record["keys"]["signing"], record["keys"]["sealing"])
    assert config.load(home).approver == controller_of(record) != world.approver("hospital_a").address
    assert [one["address"] for one in record["keys"]["approval"]][1] == world.approver("hospital_a").address
    assert KeyFile.load(home / "keys.former-1.json").signing_public == before.signing_public
    assert "config.no_rotation" in ran(capsys, "rotate", "--home", home, "--finish", status=1)


def test_new_keys_are_not_used_before_the_chain_holds_their_record(
        capsys: pytest.CaptureFixture[str], world: World, home: Path, portal: Portal, chain: Registry) -> None:
    ran(capsys, "rotate", "--home", home)
    wire = portal.posted[-1][1]["record"]
    wire["signatures"].append(sign(wire["document"], world.keys["office"].signing))
    portal.shelves[f"/participants/{wire['document']['id']}"] = {"record": wire}  # the portal says so, nobody else
    assert "participant.record_mismatch" in ran(capsys, "rotate", "--home", home, "--finish", status=1)


def test_rotating_again_offers_the_same_keys(capsys: pytest.CaptureFixture[str], home: Path, portal: Portal,
                                             chain: Registry) -> None:
    ran(capsys, "rotate", "--home", home)
    ran(capsys, "rotate", "--home", home)
    first, second = (body["record"]["document"]["keys"] for _, body in portal.posted)
    assert first == second


def test_lost_keys_go_to_the_office_by_file(capsys: pytest.CaptureFixture[str], world: World, home: Path,
                                            tmp_path: Path, portal: Portal, chain: Registry) -> None:
    former, out = tmp_path / "former.json", tmp_path / "new.json"
    former.write_text(json.dumps(world.records["hospital_a"]))
    said = ran(capsys, "rotate", "--home", home, "--lost", "--former", former, "--out", out)
    wire = json.loads(out.read_text())
    verify_next(wire, world.record("hospital_a"), world.trust, lost=True)
    assert portal.posted == []
    office = home_of(world, tmp_path, "office", "regulator")
    assert "participant.fingerprint" in ran(capsys, "propose-record", out, "--home", office, "--fingerprint", "0" * 32,
                                            status=1)
    answer = ran(capsys, "propose-record", out, "--home", office, "--fingerprint", said["fingerprint"])
    assert (answer["participant"], answer["proposed"]) == (world.keys["hospital_a"].participant, True)
    path, body = portal.posted[-1]
    assert path.endswith("/proposal") and verify_wire(body["record"], world.trust) == wire["document"]


def test_a_veto_needs_no_portal(capsys: pytest.CaptureFixture[str], world: World, home: Path, portal: Portal,
                                chain: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is proposed is read from the chain, and the veto goes there by our own transaction."""
    assert "participant.no_proposal" in ran(capsys, "veto", "--home", home, status=1)
    proposal = SimpleNamespace(record_hash="0x" + "11" * 32, controller="0x" + "22" * 20, number=2)
    chain.proposal = proposal
    monkeypatch.setattr(portal, "post", _away)
    answer = ran(capsys, "veto", "--home", home)
    assert (answer["portal"], answer["chain"]) == (False, True)
    assert chain.vetoes == [(2, world.approver("hospital_a").address)]


def _away(*_: Any, **__: Any) -> Any:
    raise PortalUnavailable("nobody there")


def test_a_chain_that_is_away_is_said(capsys: pytest.CaptureFixture[str], home: Path, chain: Registry) -> None:
    chain.unavailable = "chain.unavailable"
    assert "chain.unavailable" in ran(capsys, "rotate", "--home", home, status=1)


def test_a_hold_goes_to_portal_and_chain_and_by_file(
        capsys: pytest.CaptureFixture[str], world: World, portal: Portal, chain: Registry, home: Path,
        tmp_path: Path) -> None:
    terms = next(one["terms"] for one in world.item()["grants"]
                 if one["terms"]["custodian"] == world.keys["hospital_a"].participant)
    portal.shelves[f"/grants/{terms['id']}"] = {"terms": terms}
    answer = ran(capsys, "suspend-grant", terms["id"], "--home", home, "--to", tmp_path / "dealer")
    assert (answer["suspended"], answer["chain"], answer["inboxes"]) == (True, True, 2)
    assert chain.vetoes == [(chain.number + 2, world.approver("hospital_a").address)], "above the chain's last number"
    book = Book(tmp_path / "dealer.sqlite3")
    assert inbox.take(tmp_path / "dealer" / "inbox", book) == 1
    (hold,) = book.revocations([terms["id"]])
    book.close()
    decider = verify_suspension(grant_chain_id(terms), hold["suspension"], domain=domain_of(world.trust))
    assert (decider, hold["about"]) == (world.approver("hospital_a").address, "grant")

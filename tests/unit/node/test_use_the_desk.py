"""The command line of a home, as scripts use it: JSON on standard output, a code on standard error."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger.approval import domain_of, verify_revocation
from ledger.documents import document_hash, new_document, new_id, public_hex, signed, verify_signed
from ledger.errors import PortalUnavailable, VerificationError
from ledger.keys import KeyFile
from ledger.participant import verify_wire
from ledger.trust import load_trust
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.node import config, data, desk, inbox, reach, sources
from mpc.node.__main__ import main
from mpc.node.book import Book
from mpc.node.desk import Desk
from mpc.node.errors import Unfit
from tests.simulators.node_world import CONTRACTS, Document, DoorInMemory, World

HEART = Path(__file__).parents[3] / "fixtures" / "hospitals" / "uci-heart"


def ran(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0) -> Any:
    assert main([str(one) for one in arguments]) == status
    said = capsys.readouterr()
    return json.loads(said.out) if status == 0 else said.err


def init(capsys: pytest.CaptureFixture[str], home: Path, role: str = "provider") -> Any:
    return ran(capsys, "init", "--home", home, "--role", role, "--name-zh", "医院", "--name-en", "Hospital",
               "--portal", "http://127.0.0.1:1")


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


def test_init(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    answer = init(capsys, home)
    known = config.load(home)
    keys, person = KeyFile.load(known.keys), KeyFile.load(known.approver_keys)
    assert (answer["participant"], answer["fingerprint"]) == (keys.participant, "")
    assert keys.service is not None and keys.approval is None and known.service == keys.service.address
    assert person.approval is not None and person.service is None and known.approver == person.approval.address
    assert len(known.local_key()) == 32 and known.policy.exists() and known.name_zh == "医院"
    for name in ("keys.json", "approver.json", "fingerprint.key", "config.toml"):
        assert (home / name).stat().st_mode & 0o077 == 0
    assert "config.exists" in ran(capsys, "init", "--home", home, "--role", "provider", "--name-zh", "x",
                                  "--name-en", "x", "--portal", "x", status=1)


def test_the_regulators_trust_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    office = init(capsys, tmp_path / "office", "regulator")
    dealer = init(capsys, tmp_path / "dealer", "dealer")
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({
        "space_id": new_id(), "name": "test", "log": {"key": "ab" * 32},
        "dealer": {"participant": dealer["participant"], "signing": dealer["signing"]},
        "chain": {"id": 7, "profile": "embedded", "genesis": "0x" + "00" * 32, "rpc": ["http://127.0.0.1:1"],
                  "quorum": 1, "contracts": CONTRACTS}}))
    out = tmp_path / "trust.json"
    made = ran(capsys, "trust-file", "--home", tmp_path / "office", "--facts", facts, "--out", out)
    trust = load_trust(out, fingerprint=made["fingerprint"])
    assert trust.regulator.participant == office["participant"]
    assert trust.regulator.approvers == (office["approver"],)
    again = ran(capsys, "trust-file", "--home", tmp_path / "office", "--facts", facts, "--out", out)
    assert again["fingerprint"] == made["fingerprint"]
    adopted = ran(capsys, "adopt-trust", "--home", tmp_path / "dealer", "--trust", out, "--fingerprint",
                  made["fingerprint"])
    assert adopted["space"] == trust.space_id
    assert Desk.open(tmp_path / "dealer").roots == trust
    assert "trust.fingerprint" in ran(capsys, "adopt-trust", "--home", tmp_path / "dealer", "--trust", out,
                                      "--fingerprint", "00" * 32, status=1)


def test_draft_and_register(capsys: pytest.CaptureFixture[str], tmp_path: Path, portal: Portal) -> None:
    home = tmp_path / "home"
    init(capsys, home)
    file = HEART / "cleveland.csv"
    assert len(ran(capsys, "draft", "--file", file)["columns"]) == 15
    answer = ran(capsys, "register", "--home", home, "--file", file, "--dictionary", HEART / "dictionary.json")
    record = portal.posted[-1][1]["record"]
    document = verify_signed(record, type="dataset", keys=[KeyFile.load(home / "keys.json").signing_public])
    assert answer["dataset"] == document["id"] and answer["hash"] == document_hash(document)
    assert document["title"]["en"] == "Heart disease diagnosis" and document["rows_max"] == 500
    book = Book(home / "node.sqlite3")
    kept = book.dataset(document["id"])
    book.close()
    assert kept is not None and kept.record == document and kept.path == file.resolve()


def test_without_a_dictionary_the_draft_must_be_accepted(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                         portal: Portal) -> None:
    home = tmp_path / "home"
    init(capsys, home)
    file = HEART / "long-beach.csv"
    assert "dictionary.missing" in ran(capsys, "register", "--home", home, "--file", file, status=1)
    answer = ran(capsys, "register", "--home", home, "--file", file, "--accept-draft", "--title-en", "Heart",
                 "--persons", "patient_id")
    assert answer["cells_counted_as_missing"] > 0 and answer["persons"] == ["patient_id"]
    record = portal.posted[-1][1]["record"]["document"]
    assert record["title"] == {"zh": "long-beach", "en": "Heart"} and "one_person_per_row" not in record


def test_nothing_is_registered_until_somebody_said_who_a_person_is(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, portal: Portal) -> None:
    """Forty visits of two patients would count as forty persons, and open at a floor of ten."""
    home, file = tmp_path / "home", tmp_path / "visits.csv"
    init(capsys, home)
    file.write_text("patient,age\n" + "".join(f"P{n % 2},{n % 25}\n" for n in range(40)))
    register = ("register", "--home", home, "--file", file, "--accept-draft")
    assert "dictionary.persons" in ran(capsys, *register, status=1)
    assert portal.posted == []
    assert ran(capsys, *register, "--persons", "patient")["persons"] == ["patient"]
    record = portal.posted[-1][1]["record"]["document"]
    assert [one["kind"] for one in record["columns"]] == ["identifier", "number"]
    plan = function("describe@1").plan({"columns": ["age"], "by": None}, record["columns"], 3, 100)
    rows = Rows.open(file, "csv", plan.read_by(None))
    assert rows.persons(rows.tally([]), [], [[()]], complete_in=[]) == [2]
    rows.close()
    assert ran(capsys, *register, "--one-person-per-row")["persons"] == "rows"
    assert portal.posted[-1][1]["record"]["document"]["one_person_per_row"] is True, "the custodian's word, to be read"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_changes_while_it_is_checked_is_not_registered(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, portal: Portal, monkeypatch: pytest.MonkeyPatch,
        kind: str) -> None:
    """Jobs trust the fingerprint and look at no bound again: it must be that of the rows that were checked."""
    home, file, other = tmp_path / "home", tmp_path / f"ages.{kind}", tmp_path / f"later.{kind}"
    init(capsys, home)
    for place, age in ((file, 50), (other, 9_000_000_000)):
        duckdb.sql(f"COPY (SELECT {age} AS age FROM range(20)) TO '{place}'")
    words = tmp_path / "ages.dictionary.json"
    words.write_text(json.dumps({"version": 1, "one_person_per_row": True, "columns": [
        data.column("age", "number", low="0", high="120", step="1")]}))
    misfits = Rows.misfits

    def checked_and_then_loaded(rows: Rows) -> dict[str, int]:
        found = misfits(rows)
        other.replace(file)  # as a nightly load commits
        return found

    monkeypatch.setattr(Rows, "misfits", checked_and_then_loaded)
    assert "dataset.changed" in ran(capsys, "register", "--home", home, "--file", file, "--dictionary", words, status=1)
    assert portal.posted == []


def test_a_fingerprint_that_takes_long_is_told(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job makes it again, within session_seconds."""
    home = tmp_path / "home"
    init(capsys, home)
    register = ("register", "--home", home, "--file", HEART / "zurich-basel.csv", "--dictionary",
                HEART / "dictionary.json")
    assert "warning" not in ran(capsys, *register)
    survey = sources.survey
    monkeypatch.setattr(sources, "survey", lambda *a, **more: replace(survey(*a, **more), seconds=41.0))
    assert "session_seconds" in ran(capsys, *register)["warning"]


def adopt(world: World, home: Path, folder: Path) -> None:
    """The home believes the world's trust file."""
    (folder / "trust.json").write_text(json.dumps(world.trust_wire))
    desk.adopt_trust(home, folder / "trust.json", world.fingerprint)


def test_enrol(capsys: pytest.CaptureFixture[str], tmp_path: Path, portal: Portal, world: World) -> None:
    home = tmp_path / "home"
    made = init(capsys, home)
    assert "config.no_trust" in ran(capsys, "enrol", "--home", home, status=1)
    adopt(world, home, tmp_path)
    answer = ran(capsys, "enrol", "--home", home)
    record = verify_wire(portal.posted[-1][1]["record"], world.trust, admitted=False)
    assert answer["fingerprint"] == document_hash(record)[:32]
    assert record["keys"]["approval"] == [{"scheme": "secp256k1", "address": made["approver"]}]
    assert record["keys"]["service"] == made["service"] and record["admitted_as"] == ["provider"]


@pytest.fixture
def office(world: World, tmp_path: Path, portal: Portal) -> Path:
    """The regulator's home with the keys of the world."""
    home = tmp_path / "office"
    home.mkdir()
    keys = world.keys["office"]
    for name in ("keys.json", "approver.json"):
        config.write_private(home / name, (world.folder / "office.keys.json").read_text())
    config.create(config.Config(home=home, participant=keys.participant, role="regulator", portal="x", name_zh="x",
                                name_en="x", fingerprint=world.fingerprint, approver=world.approver("office").address,
                                env="development"))
    config.write_private(home / "trust.json", json.dumps(world.trust_wire))
    return home


def test_a_revocation_reaches_the_dealer_past_the_portal(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, world: World, office: Path, portal: Portal) -> None:
    terms = world.item()["grants"][0]["terms"]
    portal.shelves[f"/grants/{terms['id']}"] = {"terms": terms}
    answer = ran(capsys, "revoke", terms["id"], "--home", office, "--reason", "stop", "--no-portal", "--no-chain",
                 "--dealer-home", tmp_path / "dealer")
    assert (answer["portal"], answer["chain"], answer["inboxes"]) == (False, False, 2)
    assert portal.posted == []
    book = Book(tmp_path / "dealer.sqlite3")
    assert inbox.take(tmp_path / "dealer" / "inbox", book) == 1
    revocation = book.revocations([terms["id"]])[0]
    book.close()
    assert verify_revocation(terms, revocation, domain=domain_of(world.trust)) == world.approver("office").address


def test_a_revocation_needs_no_portal_when_the_terms_are_at_hand(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, world: World, office: Path) -> None:
    terms = world.item()["grants"][0]["terms"]
    file = tmp_path / "terms.json"
    file.write_text(json.dumps(terms))
    answer = ran(capsys, "revoke", terms["id"], "--home", office, "--reason", "stop", "--no-portal", "--terms", file)
    assert (answer["portal"], answer["chain"], answer["inboxes"]) == (False, False, 1)


def test_junk_in_the_inbox_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "x.json").write_text("{")
    (tmp_path / "inbox" / "y.json").write_text('{"type": "revocation"}')
    book = Book(tmp_path / "book.sqlite3")
    assert inbox.take(tmp_path / "inbox", book) == 0
    book.close()
    assert len(list((tmp_path / "inbox" / "refused").iterdir())) == 2


def test_check_prints_a_signed_verdict_and_keeps_nothing(
        capsys: pytest.CaptureFixture[str], tmp_path: Path, world: World) -> None:
    home = tmp_path / "node"
    home.mkdir()
    keys = world.keys["hospital_a"]
    config.write_private(home / "keys.json", (world.folder / "hospital_a.keys.json").read_text())
    config.create(config.Config(home=home, participant=keys.participant, role="provider", portal="http://127.0.0.1:1",
                                name_zh="x", name_en="x", fingerprint=world.fingerprint,
                                approver=world.approver("hospital_a").address,
                                service=world.service("hospital_a").address, env="development"))
    config.write_private(home / "trust.json", json.dumps(world.trust_wire))
    work = tmp_path / "work.json"
    work.write_text(json.dumps(world.item(scenario=world.scenario(functions=[{"name": "describe", "version": 1}]),
                                          function="crosstab")))
    answer = ran(capsys, "check", "--home", home, "--work", work)
    verdict = verify_signed(answer, type="verdict", keys=[keys.signing_public])
    assert (verdict["decision"], verdict["code"], verdict["who_must_act"]) == (
        "refuse", "grant.outside_scope", "consumer")
    book = Book(home / "node.sqlite3")
    assert book.unfinished() == []
    book.close()


# -- the lead's signature under an agreement

def offered(world: World, portal: Portal, **changes: Any) -> Document:
    """A product of hospital A's over three datasets, and an agreement about it that the maker signed."""
    for name, wire in world.records.items():
        portal.shelves[f"/participants/{world.keys[name].participant}"] = {"record": wire}
    for wire in world.datasets.values():
        portal.shelves[f"/datasets/{wire['document']['id']}"] = {"record": wire}
    item = world.item()
    lead = world.keys["hospital_a"]
    references = [{"id": one["dataset"], "provider": one["provider"], "hash": one["dataset_hash"]}
                  for one in item["spec"]["document"]["inputs"]]
    product = new_document("product", id=new_id(), title={"zh": "x", "en": "x"}, summary={"zh": "x", "en": "x"},
                           lead=lead.participant, datasets=references, functions=["describe@1"],
                           price={"amount": 5, "currency": "CNY"})
    portal.shelves[f"/products/{product['id']}"] = {"document": signed(product, lead.signing)}
    terms = item["grants"][0]["terms"]
    agreement = new_document("agreement", **{
        "id": new_id(), "product": product["id"], "product_hash": document_hash(product),
        "scenario": terms["scenario"], "scenario_hash": terms["scenario_hash"],
        "consumer": world.keys["maker"].participant, "provider": lead.participant, "price": product["price"],
        "grants": item["spec"]["document"]["grants"], **changes})
    return {"kind": "agreement", "id": agreement["id"], "grants": item["grants"],
            "document": signed(agreement, world.keys["maker"].signing)}


def test_the_lead_signs_an_agreement(world: World, portal: Portal) -> None:
    lead, maker = world.keys["hospital_a"], world.keys["maker"]
    wire = desk.sign_agreement(portal, lead, world.trust, offered(world, portal))
    verify_signed(wire, type="agreement", keys=[maker.signing_public, public_hex(lead.signing)])


@pytest.mark.parametrize("changes", [
    {"price": {"amount": 1, "currency": "CNY"}}, {"product_hash": "00" * 32}, {"scenario": new_id()},
    {"grants": []}, {"scenario_hash": "00" * 32},
])
def test_the_lead_signs_nothing_else(world: World, portal: Portal, changes: Document) -> None:
    if changes == {"grants": []}:
        item = offered(world, portal)
        changes = {"grants": item["document"]["document"]["grants"][1:]}
    with pytest.raises(VerificationError):
        desk.sign_agreement(portal, world.keys["hospital_a"], world.trust, offered(world, portal, **changes))


def test_an_agreement_that_the_consumer_did_not_sign(world: World, portal: Portal) -> None:
    item = offered(world, portal)
    item["document"] = signed(item["document"]["document"], world.keys["outsider"].signing)
    with pytest.raises(VerificationError):
        desk.sign_agreement(portal, world.keys["hospital_a"], world.trust, item)


# -- configuration

@pytest.mark.parametrize("change", [
    ('role = "provider"', 'role = "king"'), ("session_seconds = 120", "session_seconds = 1"),
    ("session_seconds = 120", 'session_seconds = "120"'), ("[name]", "surprise = 1\n[name]"),
    ('portal = "http://127.0.0.1:1"', "portal = 1"), ("[name]", "[name"),
])
def test_an_odd_configuration_is_not_read(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                          change: tuple[str, str]) -> None:
    init(capsys, tmp_path)
    file = tmp_path / "config.toml"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(Unfit):
        config.load(tmp_path)


def test_no_home(tmp_path: Path) -> None:
    with pytest.raises(Unfit):
        config.load(tmp_path)
    (tmp_path / "fingerprint.key").write_text("short")
    with pytest.raises(Unfit):
        config.Config(tmp_path, "p", "provider", "x", "x", "x").local_key()

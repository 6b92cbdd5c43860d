"""The database keeps the past, and one that is older than the world is recognised; fsck names every damage."""


from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from dataspace.errors import Unavailable
from dataspace.provenance import audit, followers, guard, queries, recorder
from dataspace.provenance.models import Anchor, Checkpoint, Cosignature, Leaf, Tile
from ledger.errors import VerificationError
from ledger.logdir import LogDir
from ledger.logdir import fsck as fsck_folder
from tests.simulators.portal_space import Space, Stage, now, staged
from tests.unit.provenance.test_record_and_anchor import happened


def fill(people: Space) -> None:
    """A log with a full tile and a partial one, anchored."""
    happened(300)
    followers.run_all()


stage = staged(fill)


@pytest.fixture
def full(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as people:
        yield people


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


FORBIDDEN = [
    "UPDATE provenance_event SET entry = '{}'", "DELETE FROM provenance_event",
    "UPDATE provenance_leaf SET hash = 'x' WHERE index = 3", "DELETE FROM provenance_leaf WHERE index = 299",
    "UPDATE provenance_tile SET data = substring(data FOR 64) WHERE level = 0 AND position = 0",
    "UPDATE provenance_tile SET data = data || data WHERE level = 0 AND position = 0",
    "UPDATE provenance_tile SET data = substring(data FOR 32) WHERE position = 1",
    "UPDATE provenance_tile SET data = overlay(data PLACING 'x'::bytea FROM 1) || data WHERE position = 1",
    "UPDATE provenance_tile SET position = 7 WHERE position = 1", "DELETE FROM provenance_tile WHERE position = 1",
    "UPDATE provenance_checkpoint SET note = 'x'", "UPDATE provenance_checkpoint SET published_at = now()",
    "UPDATE provenance_checkpoint SET published_at = NULL", "DELETE FROM provenance_checkpoint",
    "SET LOCAL xinglin.may_truncate = 'off'; TRUNCATE provenance_leaf",
    "SET LOCAL xinglin.may_truncate = 'off'; TRUNCATE provenance_event CASCADE",
]


def test_the_database_refuses_to_change_the_past(full: Space) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(IntegrityError, match=r"never|only grows|otherwise"), transaction.atomic():
            sql("SET CONSTRAINTS ALL IMMEDIATE")
            sql(statement)


def test_a_cosignature_stays(full: Space) -> None:
    row = Cosignature.objects.create(checkpoint=Checkpoint.objects.last(), key="ab" * 32, line="x", at=now())
    for act in (row.delete, lambda: Cosignature.objects.update(line="y")):
        with pytest.raises(IntegrityError), transaction.atomic():
            act()


def test_a_partial_tile_grows(full: Space) -> None:
    happened(2)
    followers.run_all()
    assert len(bytes(Tile.objects.get(level=0, position=1).data)) == 46 * 32
    assert audit.fsck().whole


# --- a database that is older than the world


def behind(code: str) -> None:
    with pytest.raises(VerificationError) as refused:
        guard.check()
    assert refused.value.code == code
    before = Leaf.objects.count()
    happened(1)
    followers.run_all()
    assert (Leaf.objects.count(), recorder.pending()) == (before, True), "recorded, and not written to the log"


def test_a_chain_that_knows_more_stops_the_log(full: Space) -> None:
    log_id, size = max(full.chain.state.roots)
    full.chain.state.roots[log_id, size + 1] = "0x" + "ab" * 32
    behind("ledger.behind_chain")


def test_a_chain_with_another_root_stops_the_log(full: Space) -> None:
    log_id, size = max(full.chain.state.roots)
    full.chain.state.roots[log_id, size] = "0x" + "ab" * 32
    behind("ledger.behind_chain")


@pytest.mark.parametrize("question", ["check_contracts", "check_roles"])
def test_a_strangers_contract_is_not_written_to(full: Space, monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise VerificationError("chain.roles", "somebody else may anchor")

    guard._sound.clear()
    monkeypatch.setattr(full.chain, question, wrong)
    behind("chain.roles")


def test_the_mark_beside_the_keys_stops_the_log_when_the_chain_is_away(full: Space) -> None:
    guard.keep(301, bytes(32))
    full.chain.switches.on = False
    behind("ledger.behind_mark")
    assert audit.status()["state"] == "ledger.behind_mark"


def test_with_neither_chain_nor_mark_nothing_is_written(full: Space) -> None:
    guard.place().unlink(missing_ok=True)
    full.chain.switches.on = False
    with pytest.raises(Unavailable) as refused:
        guard.check()
    assert refused.value.code == "ledger.unconfirmed"
    happened(1)
    followers.run_all()
    assert recorder.pending()
    full.chain.switches.on = True
    followers.run_all()
    assert queries.anchored_size() == 301


# --- fsck, status, export, reanchor


def damaged(statement: str) -> list[str]:
    """What fsck finds after a statement that somebody with all rights slipped past the triggers."""
    sql(f"SET LOCAL session_replication_role = replica; {statement}; SET LOCAL session_replication_role = DEFAULT")
    return sorted({finding.code for finding in audit.fsck().findings})


def test_fsck_of_a_whole_log(full: Space) -> None:
    report = audit.fsck()
    assert (report.findings, report.size) == ([], 300)
    out = StringIO()
    call_command("ledger", "fsck", stdout=out)
    assert "the log is whole" in out.getvalue()


DAMAGES: list[tuple[str, list[str]]] = [
    ("UPDATE provenance_tile SET data = overlay(data PLACING 'changed'::bytea FROM 1) WHERE level = 0 AND position = 0",
     ["log.tile"]),
    ("UPDATE provenance_tile SET data = overlay(data PLACING 'changed'::bytea FROM 1) WHERE level = 1",
     ["ledger.behind_chain", "log.tile"]),
    ("INSERT INTO provenance_tile (level, position, data) VALUES (0, 9, 'x')", ["log.tile"]),
    ("UPDATE provenance_event SET entry = jsonb_set(entry, '{kind}', '\"grant.revoked\"') WHERE number = (SELECT "
     "event_id FROM provenance_leaf WHERE index = 5)", ["log.entry"]),
    ("UPDATE provenance_event SET commitment = repeat('0', 64) WHERE number = (SELECT event_id FROM provenance_leaf "
     "WHERE index = 5)", ["log.entry", "log.leaf", "log.root", "log.tile"]),
    ("UPDATE provenance_leaf SET hash = repeat('0', 64) WHERE index = 5", ["log.leaf"]),
    ("DELETE FROM provenance_leaf WHERE index = 5", ["log.event", "log.leaf", "log.short", "log.tile"]),
    ("DELETE FROM provenance_leaf WHERE index = 299", ["ledger.behind_chain", "log.event", "log.short", "log.tile"]),
    ("UPDATE provenance_checkpoint SET root = repeat('0', 64)", ["log.anchor", "log.checkpoint", "log.root"]),
    ("UPDATE provenance_checkpoint SET note = replace(note, E'\\n300\\n', E'\\n299\\n')", ["checkpoint.signature"]),
]


def test_fsck_names_every_damage(full: Space) -> None:
    for statement, codes in DAMAGES:
        with transaction.atomic():
            assert damaged(statement) == codes, statement
            with pytest.raises(CommandError, match="NOT whole"):
                call_command("ledger", "fsck", stdout=StringIO())
            transaction.set_rollback(True)


def test_what_fsck_found_is_told_although_nobody_outside_can_be_asked(full: Space) -> None:
    guard.place().unlink(missing_ok=True)
    full.chain.switches.on = False
    sql("SET LOCAL session_replication_role = replica")
    sql("UPDATE provenance_leaf SET hash = repeat('0', 64) WHERE index = 5")
    assert {finding.code for finding in audit.fsck(chain=False).findings} == {"log.leaf", "ledger.unconfirmed"}


def test_an_export_is_the_log(full: Space, tmp_path: Path) -> None:
    out = StringIO()
    call_command("ledger", "export", str(tmp_path / "log"), stdout=out)
    assert "300 leaves" in out.getvalue()
    report = fsck_folder(LogDir(tmp_path / "log"), full.trust)
    assert (report.findings, report.size) == ([], 300)
    assert LogDir(tmp_path / "log").anchors()[0]["size"] == 300


def test_the_status_is_told(full: Space) -> None:
    happened(2)
    out = StringIO()
    call_command("ledger", "status", stdout=out)
    assert '"waiting": 2' in out.getvalue()
    assert (audit.status()["state"], audit.status()["anchored"]) == ("ok", 300)


def test_after_a_lost_chain_the_head_is_anchored_again(full: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract is there and empty, and the old transactions will not come back: nonces went on."""
    happened(5)
    followers.run_all()
    full.chain.state.roots.clear()
    assert {finding.code for finding in audit.fsck().findings} == {"log.anchor"}
    call_command("ledger", "reanchor", stdout=StringIO())
    assert [(row.prev_size, row.size) for row in queries.anchors()] == [(0, 305)]
    assert Anchor.objects.exclude(lost_at=None).count() == 2
    assert audit.fsck().whole
    call_command("ledger", "reanchor", stdout=StringIO())
    assert queries.anchors().count() == 1, "nothing to do"
    happened(1)
    followers.run_all()
    assert queries.anchored_size() == 306



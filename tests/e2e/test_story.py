"""What must be shown: the numbers, the receipt, the refusals, and that nothing leaks."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from deploy.refusals import GRANTED
from deploy.story import DESCRIBE
from deploy.waiting import wait_until
from ledger.documents import document_hash
from ledger.receipt import LEVELS
from tests.e2e import traces
from tests.e2e.openers import Openers
from tests.simulators.processes import tree

pytestmark = pytest.mark.stack


def test_it_works(told):
    answer = told.answer
    assert answer["ok"] is True
    assert answer["parties"] == 4
    assert answer["max_abs_error"] == 0
    assert answer["max_rel_error"] <= 1e-9
    assert answer["withheld_cells"] > 0
    assert answer["anchored_events"] > 0


def test_the_receipt_is_proved_down_to_the_chain(told):
    levels = told.answer["receipt"]
    assert list(levels) == list(LEVELS)
    assert set(levels.values()) == {"valid"}


def test_every_refusal_has_its_code(told):
    found = {one["case"]: (one["code"], one["by"]) for one in told.answer["refusals"]}
    assert found["outside_grant"] == ("grant.outside_scope", "node")
    assert found["revoked"][0] == "grant.revoked"
    assert found["small_cells"] == ("disclosure.below_floor", "gate")


def test_the_last_line_is_plain_json(told):
    again = json.loads(json.dumps(told.answer))
    assert set(again) == {
        "ok", "seconds", "parties", "max_abs_error", "max_rel_error", "receipt", "refusals", "withheld_cells",
        "anchored_events",
    }  # fmt: skip


def test_a_withheld_cell_is_empty_and_so_is_its_margin(told):
    frame = told.story.results[1].frame
    body = frame.drop(index="total", columns="total")
    assert body.isna().sum().sum() == sum(row["n"] is None for row in told.story.results[1].rows) > 0
    for name, line in body.iterrows():
        assert bool(line.isna().any()) == bool(frame.isna().loc[name, "total"])


def test_the_results_open_again_later_from_what_was_kept(told):
    first = told.story.results[0]
    assert told.story.client.open_result(first.job).rows == first.rows


def test_the_same_question_again_gives_the_same_job(told):
    job = told.story.client.buy(
        told.story.product, DESCRIBE,
        idempotency_key="demo-describe", scenario=told.story.grants[0].scenario,
    )  # fmt: skip
    assert job.id == told.story.results[0].job


def test_the_doctor_finds_nothing_wrong_at_a_working_node(told):
    """With nothing replaced: portal, chain, sandbox, worker and files as they are, while the node works."""
    home = told.space.homes[told.space.cast.hospitals[0].key].home
    done = subprocess.run([sys.executable, "-m", "mpc.node", "doctor", "--home", str(home), "--json"],
                          capture_output=True, text=True, timeout=300, check=False)
    said = json.loads(done.stdout)
    assert set(said["failed"]) <= {"disk"}, [one for one in said["checks"] if one["check"] in said["failed"]]
    seen = {one["check"]: one["ok"] for one in said["checks"]}
    assert seen.pop("relay") is None, "a portal without TLS may name any port of this machine"
    assert len(seen) >= 15 and all(seen[name] for name in seen if name != "disk")


# -- nothing leaks


def _has_engine(pid: int) -> bool:
    """CrypTen itself is not mapped, but it cannot be imported without torch, which is."""
    return any(
        re.search(r"/(torch|crypten)/", Path(f"/proc/{one}/maps").read_text(errors="replace")) for one in tree(pid)
    )


def test_no_process_of_the_portal_has_loaded_an_engine(told):
    assert {name: _has_engine(told.space.supervisor.pid(name)) for name in ("portal", "celery", "tend")} == {
        "portal": False, "celery": False, "tend": False,
    }  # fmt: skip
    hospital = told.space.cast.hospitals[0].key
    assert _has_engine(told.space.supervisor.pid(hospital)), "the spare worker of a node has; else this sees nothing"


def test_only_a_hospitals_own_node_and_worker_open_its_file(told):
    """During a whole job: the kernel holds everybody who opens one of the four files until we have seen who it is."""
    owners = {}
    for hospital in told.space.cast.hospitals:
        file = told.space.homes[hospital.key].data / hospital.datasets[0].file.name
        assert file.stat().st_mode & 0o077 == 0
        owners[file.resolve()] = told.space.supervisor.pid(hospital.key)

    with Openers(owners) as openers:
        job = told.story.client.buy(told.story.product, GRANTED, scenario=told.story.narrow[0].scenario)
        assert job.wait(seconds=120).parties == len(owners)

    strangers = [one for one in openers.seen if owners[one.path] not in one.line]
    assert strangers == []
    for file, agent in owners.items():
        seen = [one for one in openers.seen if one.path == file]
        workers = [one for one in seen if one.pid != agent]
        assert workers, "the worker compares the fingerprint; the node need not read again what nobody touched"
        assert all("mpc.nursery" in one.command and one.line[2] == agent for one in workers), "forks of the nursery"


def _dump(url: str) -> str:
    parts = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as rows:
                parts += [bytes(block).decode() for block in rows]
    return "\n".join(parts)


def _chain(rpc: str) -> str:
    """Every block with its transactions, and every event: all that the chain keeps and tells."""
    with httpx.Client(timeout=30) as client:

        def ask(method, *parameters):
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
            answer = client.post(rpc, json=body).json()
            return answer["result"]

        blocks = [
            ask("eth_getBlockByNumber", hex(number), True) for number in range(int(ask("eth_blockNumber"), 16) + 1)
        ]
        events = ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    assert sum(len(block["transactions"]) for block in blocks) > 10
    assert events
    return json.dumps([blocks, events])


@pytest.fixture(scope="module")
def everything_written(told):
    """Database, queue, chain, the portal's folder and all logs, as text with its hex and base64 unpacked."""
    environment, places = told.space.environment, told.space.places
    assert wait_until(lambda: any(places.chain.rglob("*.state.json")), seconds=180), "the chain's first whole dump"
    written = {
        "database": _dump(environment["DATABASE_URL"]),
        "queue": _dump("postgresql:" + environment["BROKER_URL"].split(":", 1)[1]),
        "chain": _chain(told.space.rpc),
    }
    for folder in (places.logs, places.chain, places.portal):
        for path in folder.rglob("*"):
            if path.is_file():
                written[str(path.relative_to(places.var))] = traces.read(path)
    return {place: traces.unpacked(text) for place, text in written.items()}


def test_the_search_looks_where_things_are_written(told, everything_written):
    job, grant = told.story.results[0].job, told.story.grants[0]
    terms_hash = document_hash(told.story.client.door.get(f"/grants/{grant.id}")["terms"])
    assert job in everything_written["database"]
    assert terms_hash in everything_written["chain"]
    assert any(place.endswith("state.json") for place in everything_written)
    logs = {Path(place).stem: text for place, text in everything_written.items() if place.startswith("log/")}
    assert {"portal", "celery", "tend", "chain", "postgres"} <= set(logs)
    for name in ("dealer", *(one.key for one in told.space.cast.hospitals)):
        assert job in logs[name], name


def _places_that_hold(needles, everything_written) -> dict[str, list[str]]:
    held = {place: traces.found(needles, text) for place, text in everything_written.items()}
    return {place: hits for place, hits in held.items() if hits}


COUNTED = ("age", "resting_bp", "chol", "max_heart_rate")


def test_no_row_of_a_patient_is_anywhere(told, everything_written):
    """Four neighbouring values of a row, with or without their names, and eight neighbours of a column."""
    needles = set()
    for hospital in told.space.cast.hospitals:
        with hospital.datasets[0].file.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = list(rows[0])
        for row in rows:
            for first in (1, 4, 8):
                part = names[first : first + 4]
                if all(row[name] for name in part):
                    needles.add(" ".join(row[name] for name in part))
                    needles.add(" ".join(f"{name} {row[name]}" for name in part))
        for name in COUNTED:
            column = [row[name] for row in rows if row[name]]
            needles |= {" ".join(column[at : at + 8]) for at in range(0, len(column) - 8, 4)}
    assert len(needles) > 3000
    assert _places_that_hold(needles, everything_written) == {}


def test_no_opened_result_is_anywhere(told, everything_written):
    """Means and deviations by their first digits, counts with the group or the cell they belong to."""
    described, table = told.story.results
    figures = {
        str(row[name][figure])[:9]
        for row in described.rows
        for name in ("age", "resting_bp", "max_heart_rate")
        for figure in ("mean", "sd", "variance")
        if row[name][figure] is not None and len(str(row[name][figure])) > 8
    }
    assert len(figures) > 6
    counts = {f"{row['by']} n {row['n']}" for row in described.rows}
    for row in table.rows:
        if row["n"] is not None:
            counts |= {json.dumps(row), f"{row['rows']} {row['columns']} {row['n']}"}
    opened = [row["n"] for row in table.rows]
    counts |= {json.dumps(opened), " ".join(str(one) for one in opened if one is not None)}
    assert len(counts) > 10
    assert _places_that_hold(counts, everything_written) == {}
    for place, text in everything_written.items():
        assert [figure for figure in figures if figure in text] == [], place


def test_no_pattern_of_withheld_cells_is_anywhere(told, everything_written):
    """As words, digits, bits or bytes, and as the list of the closed or of the open cells."""
    pattern = told.story.results[1].pattern
    assert len(pattern) > 16
    closed = [at for at, opened in enumerate(pattern) if not opened]
    kept = [at for at, opened in enumerate(pattern) if opened]
    assert len(closed) > 2
    assert len(kept) > 2
    digits = [str(int(opened)) for opened in pattern]
    needles = {json.dumps(list(pattern)), " ".join(digits), json.dumps(closed), json.dumps(kept)}
    assert _places_that_hold(needles, everything_written) == {}
    for place, text in everything_written.items():
        for raw in ("".join(digits), bytes(pattern).decode("latin-1"), bytes(pattern).hex()):
            assert raw not in text, place

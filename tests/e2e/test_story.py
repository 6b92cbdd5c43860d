"""What must be shown: the numbers, the receipt, the refusals, and that nothing leaks."""

import json
import re
from pathlib import Path

import psycopg
import pytest

from deploy.story import DESCRIBE

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
    for level in ("inclusion", "log_signature", "approvals", "chain_state"):
        assert levels[level] == "valid"
    assert levels["witnesses"] == "not checked"


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


def _processes(told, *names):
    return {name: told.space.supervisor.pid(name) for name in names}


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        children = thread / "children"
        for child in children.read_text().split():
            found += _tree(int(child))
    return found


def test_no_process_of_the_portal_has_loaded_an_engine(told):
    for name, pid in _processes(told, "portal", "celery", "tend").items():
        for process in _tree(pid):
            maps = Path(f"/proc/{process}/maps").read_text()
            assert not re.search(r"/(torch|crypten)/", maps), name


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


@pytest.fixture(scope="module")
def everything_written(told):
    """Database, queue, chain and logs, as text; bytes that are kept as hex or base64 are searched as they stand."""
    environment = told.space.environment
    written = {name: _dump(environment["DATABASE_URL"]) for name in ("portal",)}
    written["queue"] = _dump("postgresql:" + environment["BROKER_URL"].split(":", 1)[1])
    for path in [*told.space.places.logs.glob("*"), *told.space.places.chain.rglob("*")]:
        if path.is_file():
            written[path.name] = path.read_text(errors="replace")
    return written


def test_no_row_of_a_patient_is_anywhere(told, everything_written):
    needles = []
    for hospital in told.space.cast.hospitals:
        for line in hospital.datasets[0].file.read_text().splitlines()[1:]:
            cells = line.split(",")
            needles += [",".join(cells[1:6]), f'"{cells[2]}","{cells[3]}"', "\t".join(cells[1:6])]
    for place, text in everything_written.items():
        for needle in set(needles):
            assert needle not in text, place


def test_no_opened_result_is_anywhere(told, everything_written):
    figures = {
        str(row[name][figure])[:9]
        for row in told.story.results[0].rows
        for name in ("age", "resting_bp", "max_heart_rate")
        for figure in ("mean", "sd", "variance")
        if row[name][figure] is not None
    }
    assert len(figures) > 6
    table = json.dumps([row["n"] for row in told.story.results[1].rows])[1:-1]
    for place, text in everything_written.items():
        for needle in {*figures, table, table.replace(" ", "")}:
            assert needle not in text, place


def test_no_pattern_of_withheld_cells_is_anywhere(told, everything_written):
    pattern = told.story.results[1].pattern
    bits = "".join("1" if opened else "0" for opened in pattern)
    words = json.dumps(list(pattern))[1:-1]
    for place, text in everything_written.items():
        for needle in (bits, words, words.replace(" ", "")):
            assert needle not in text, place


def test_each_copy_of_the_data_is_its_hospitals_alone(told):
    for hospital in told.space.cast.hospitals:
        copy = told.space.homes[hospital.key].data / hospital.datasets[0].file.name
        assert copy.stat().st_mode & 0o077 == 0
        own = set(_tree(told.space.supervisor.pid(hospital.key)))
        for process in Path("/proc").glob("[0-9]*"):
            try:
                opened = {str(link.readlink()) for link in (process / "fd").iterdir()}
            except OSError:
                continue
            assert str(copy) not in opened or int(process.name) in own

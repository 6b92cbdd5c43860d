"""Rows in the hospital's own PostgreSQL: the figures of a file, made there, read-only, confined, fingerprinted."""

import csv
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from deploy.postgres import Postgres
from mpc.errors import DataRefused, MpcError
from mpc.functions.plan import Counted, Plan, with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.node import config, sources
from mpc.node.book import Dataset
from mpc.node.errors import Unfit
from mpc.sources import postgres as far
from tests.integration.engine_workers import Nursery, Session
from tests.simulators.filter_trees import CELLS, COLUMNS, TREES

KEY = bytes(range(32))
NAMES = ["age", "w", "n", "g", "who", "smokes", "even%"]


def number(name: str, high: str, step: str) -> dict[str, Any]:
    return {"name": name, "kind": "number", "unit": None, "min": "0", "max": high, "step": step, "codes": None}


GROUP = {"name": "g", "kind": "category", "unit": None, "min": None, "max": None, "step": None,
         "codes": ["a", "b", "c'; DROP TABLE cohort; --"]}
SMOKES = GROUP | {"name": "smokes", "codes": ["True", "False"]}
WHO = GROUP | {"name": "who", "kind": "identifier", "codes": None}
NUMBERS = [number("age", "120", "1"), number("w", "200", "0.1"), number("n", "20", "0.01"), number("even%", "200", "2")]
OLD = {"op": "and", "of": [{"op": "ge", "column": "age", "value": "20"}, {"op": "not", "of": {
    "op": "eq", "column": "smokes", "value": "True"}}]}


@pytest.fixture(scope="module")
def server(postgres: Postgres | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The session's server; one of our own where the portal's database is the user's."""
    if postgres is not None:
        yield postgres
        return
    with Postgres(tmp_path_factory.mktemp("far") / "postgres", fast=True, password=secrets.token_urlsafe(16)) as own:
        yield own


@pytest.fixture(scope="module")
def access(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    postgres = server
    postgres.create_database("hospital")
    parts = psycopg.conninfo.conninfo_to_dict(postgres.url("hospital"))
    with psycopg.connect(postgres.url("hospital"), autocommit=True) as owner:
        owner.execute('CREATE TABLE public.cohort (age int, w double precision, n numeric(8, 2), g text, who text, '
                      'smokes boolean, "even%" smallint)')
        owner.execute(
            "INSERT INTO public.cohort SELECT (i * 7) %% 90, ((i * 13) %% 1000) / 10.0, ((i * 17) %% 1000) / 100.0, "
            "(array['a', 'b', %s])[1 + i %% 3], 'p' || (i %% 40), i %% 2 = 0, 2 * (i %% 50) "
            "FROM generate_series(1, 400) i",
            [GROUP["codes"][2]])
        owner.execute("INSERT INTO public.cohort VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL), "
                      "(3, NULL, 1.5, '', 'p1', true, 4), (30, 0, 0, 'rare', 'p2', false, 0)")
        secret = tmp_path_factory.mktemp("far") / "pgpass"
        secret.write_text(f"*:*:*:*:{parts['password']}\n", encoding="utf-8")
        secret.chmod(0o600)
        yield {"host": parts["host"], "port": int(str(parts["port"])), "database": "hospital", "user": parts["user"],
               "passfile": str(secret), "sslmode": "disable", "sslrootcert": "", "schema": "public", "table": "cohort",
               "seconds": 60, "url": postgres.url("hospital")}


def told(access: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in access.items() if name != "url"}


def counted(plan: Plan, path: str | Path, kind: str, **more: Any) -> Counted:
    rows = Rows.open(path, kind, plan.read_by(None), unlisted_as_missing=True, only=plan.filter, **more)
    try:
        found = function(plan.function).local(rows, plan)
        rows.settle()
        return found
    finally:
        rows.close()


def check_of(access: dict[str, Any]) -> dict[str, str]:
    with far.open_connection(told(access)) as connection:
        return {"key": KEY.hex(), "expected": far.fingerprint(connection, told(access), KEY)}


def test_it_works(access: dict[str, Any], tmp_path: Path) -> None:
    """Everything the gate needs, from a table and from its copy as CSV: equal to the last bit."""
    place = tmp_path / "cohort.csv"
    with psycopg.connect(access["url"]) as owner, place.open("w", newline="", encoding="utf-8") as file:
        rows = owner.execute('SELECT age, w, n, g, who, smokes, "even%" FROM public.cohort').fetchall()
        csv.writer(file).writerows([NAMES, *(["" if cell is None else cell for cell in row] for row in rows)])
    for columns in ([*NUMBERS, GROUP, SMOKES], [*NUMBERS, GROUP, SMOKES, WHO]):
        for key, parameters in (("describe@1", {"columns": ["w", "n", "even%"], "by": "g"}),
                                ("describe@1", {"columns": ["age"], "by": None}),
                                ("crosstab@1", {"rows": "g", "columns": "smokes"})):
            plan = function(key).plan(parameters, columns, 3, 5000)
            given = OLD if parameters != {"columns": ["age"], "by": None} and key == "describe@1" else None
            plan = with_filter(plan, given, columns)
            here = counted(plan, "cohort", "postgresql", access=told(access), check=check_of(access))
            assert here == counted(plan, place, "csv")
            assert sum(here.values[:3]) > 50


def test_numbers_beyond_53_bits_are_summed_as_they_are(access: dict[str, Any], tmp_path: Path) -> None:
    """Counted from the lowest, steps take 54 bits; Ibis would divide them as floating-point numbers."""
    most = (1 << 53) - 2
    wide = number("big", str(most), "1") | {"min": str(-most)}
    cells = [5 * (1 << 31) + 1, most, 3, -most, (1 << 51) + 12345]
    with psycopg.connect(access["url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS public.wide (big bigint)")
        owner.cursor().executemany("INSERT INTO public.wide VALUES (%s)", [(cell,) for cell in cells])
    place = tmp_path / "wide.csv"
    place.write_text("big\n" + "".join(f"{cell}\n" for cell in cells), encoding="utf-8")
    plan = function("describe@1").plan({"columns": ["big"], "by": None}, [wide], 3, 5000)
    here = counted(plan, "wide", "postgresql", access=told(access | {"table": "wide"}))
    assert here == counted(plan, place, "csv")
    assert here.values[2:] == (sum(cells), sum(cell**2 for cell in cells))


def test_whole_numbers_of_a_narrow_type_are_counted_on_a_finer_grid(access: dict[str, Any], tmp_path: Path) -> None:
    """Ibis takes every whole number for 64 bits wide and leaves a cast to that out; PostgreSQL multiplies as kept."""
    columns = [number("small", "32000", "0.01"), number("cost", "30000000", "0.01")]
    with psycopg.connect(access["url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE public.narrow AS SELECT 30000::smallint AS small, 30000000::int AS cost "
                      "FROM generate_series(1, 9)")
    place = tmp_path / "narrow.csv"
    place.write_text("small,cost\n" + "30000,30000000\n" * 9, encoding="utf-8")
    plan, there = function("describe@1").plan({"columns": ["small", "cost"], "by": None}, columns, 3, 5000), access | {
        "table": "narrow"}
    for registered in (None, check_of(there)):
        here = counted(plan, "narrow", "postgresql", access=told(there), check=registered)
        assert here == counted(plan, place, "csv")


def test_a_table_that_changed_is_not_the_registered_one(access: dict[str, Any]) -> None:
    """One cell, one row twice, one column more: another fingerprint; another order of the rows: the same."""
    plan = function("describe@1").plan({"columns": ["age"], "by": None}, NUMBERS, 3, 5000)
    check = check_of(access)
    with psycopg.connect(access["url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE shuffled AS SELECT * FROM public.cohort ORDER BY random()")
        assert check_of(access | {"table": "shuffled"}) == check
        for change in ("UPDATE shuffled SET n = n + 0.01 WHERE age = 30 AND n = 0",
                       "INSERT INTO shuffled SELECT * FROM shuffled WHERE age = 3 AND w IS NULL",
                       "ALTER TABLE shuffled ADD COLUMN more int"):
            before = check_of(access | {"table": "shuffled"})
            owner.execute(change)
            with pytest.raises(DataRefused) as refused:
                counted(plan, "x", "postgresql", access=told(access | {"table": "shuffled"}), check=before)
            assert refused.value.code == "dataset.changed"
        owner.execute("DROP TABLE shuffled")


def test_the_node_can_only_read(access: dict[str, Any]) -> None:
    with far.open_connection(told(access)) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM public.cohort")
    with pytest.raises(MpcError) as slow:
        table = far.PostgresTable(told(access), check=None)
        with far._named():
            table._connection.execute("SET statement_timeout = 50; SELECT pg_sleep(30)")
    assert slow.value.code == "worker.out_of_time"
    table.close()
    with pytest.raises(MpcError) as away:
        far.open_connection(told(access) | {"port": 1})
    assert away.value.code == "dataset.unreachable"


CONFINED = """
import json, sys, tempfile
from mpc import confinement
from mpc.functions.registry import function
from mpc.functions.rows import Rows
order = json.loads(sys.stdin.read())
access = order["access"]
held = confinement.confine(read=[access["passfile"]], write=[tempfile.gettempdir()], ports=[access["port"]])
plan = function("describe@1").plan({"columns": ["age"], "by": None}, order["columns"], 3, 5000)
rows = Rows.open("x", "postgresql", plan.read_by(None), access=access, check=order["check"])
print(json.dumps(list(function("describe@1").local(rows, plan).values)))
rows.settle()
"""


def test_a_confined_worker_reaches_this_database(access: dict[str, Any]) -> None:
    order = {"access": told(access), "columns": NUMBERS, "check": check_of(access)}
    done = subprocess.run([sys.executable, "-c", CONFINED], input=json.dumps(order).encode(), capture_output=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert json.loads(done.stdout)[0] == 402


def home_of(folder: Path, access: dict[str, Any], **other: Any) -> config.Config:
    """A home whose `config.toml` names the source, or one that is like it but for something."""
    made = config.Config(home=folder / "home", participant="p", role="provider", portal="http://x", name_zh="甲",
                         name_en="A")
    config.create(made)
    given = {name: access[name] for name in ("host", "port", "database", "user", "passfile", "sslmode")} | other
    text = (made.home / "config.toml").read_text() + "\n[source.cohort]\n" + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in given.items())
    config.write_private(made.home / "config.toml", text + 'kind = "postgresql"\n')
    return made


def test_register_and_be_asked(access: dict[str, Any], tmp_path: Path) -> None:
    """The home names the source and the file of its password; the cells are checked in the database."""
    made = home_of(tmp_path, access)
    home = config.load(made.home)
    place = Path("cohort:public.cohort")
    columns = [*NUMBERS, GROUP, SMOKES, WHO]
    assert sources.kind_of(home, place) == "postgresql"
    found = sources.survey(home, place, columns, unlisted_as_missing=True)
    assert (found.findings.rows, found.findings.unlisted) == (403, {"g": 1})
    assert sources.fingerprint(home, place) == sources.fingerprint(made, place), "a node that ran before it was named"
    assert found.fingerprint == sources.fingerprint(home, place)
    with pytest.raises(Unfit) as nameless:
        sources.fingerprint(home, Path("another:public.cohort"))
    assert nameless.value.code == "dataset.unreachable"
    for wrong in ([*NUMBERS, GROUP], [number("age", "80", "1"), *NUMBERS[1:]], [number("w", "200", "0.5")]):
        with pytest.raises(Unfit) as unfit:
            sources.survey(home, place, wrong, unlisted_as_missing=False)
        assert unfit.value.code == "dataset.off_dictionary"


def test_a_load_between_check_and_fingerprint_is_not_registered_as_checked(
        access: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs trust the fingerprint and skip bounds: were it made of rows that nobody checked, a total could wrap."""
    home, place = home_of(tmp_path, access), Path("cohort:public.nightly")
    with psycopg.connect(access["url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE public.nightly AS SELECT age FROM public.cohort")
        before = sources.fingerprint(home, place)
        misfits = Rows.misfits

        def checked_and_then_loaded(rows: Rows) -> dict[str, int]:
            found = misfits(rows)
            owner.execute("INSERT INTO public.nightly VALUES (2000000000)")
            return found

        monkeypatch.setattr(Rows, "misfits", checked_and_then_loaded)
        found = sources.survey(home, place, NUMBERS[:1], unlisted_as_missing=False)
        assert (found.findings.rows, found.fingerprint) == (403, before), "that of the rows that were checked"
        assert sources.fingerprint(home, place) != before, "so every job says dataset.changed"
        owner.execute("DROP TABLE public.nightly")


def test_only_what_was_read_and_differs_has_changed(
        access: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow or full database, a loose password's file, a network away: nobody can say whether the rows changed."""
    place, loose = Path("cohort:public.cohort"), tmp_path / "loose"
    loose.write_text("x")
    loose.chmod(0o644)
    for at, other in enumerate(({"passfile": str(loose)}, {"port": 1}, {"database": "no_such"}, {"user": "nobody"})):
        with pytest.raises(Unfit) as unknown:
            sources.fingerprint(home_of(tmp_path / str(at), access, **other), place)
        assert unknown.value.code != "dataset.changed"
        if other.keys() != {"passfile"}:
            with pytest.raises(Unfit) as away:
                sources.survey(home_of(tmp_path / f"s{at}", access, **other), place, NUMBERS, unlisted_as_missing=True)
            assert away.value.code == "dataset.unreachable", "not off_dictionary: no cell was seen"
    home = home_of(tmp_path, access)
    with pytest.raises(Unfit) as gone:
        sources.fingerprint(home, Path("cohort:public.gone"))
    assert gone.value.code == "dataset.changed"
    raised: list[type[Exception]] = [psycopg.errors.QueryCanceled, psycopg.errors.OutOfMemory, psycopg.errors.DiskFull,
                                     psycopg.errors.AdminShutdown, psycopg.errors.InternalError_,
                                     psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.UndefinedColumn]
    for one in raised:
        def fails(*_: Any, error: type[Exception] = one, **__: Any) -> None:
            raise error
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.RawCursor, "execute", fails)
            with pytest.raises(Unfit) as trouble:
                sources.fingerprint(home, place)
        changed = one is psycopg.errors.UndefinedColumn
        assert trouble.value.code == ("dataset.changed" if changed else "dataset.unreachable"), one


def test_a_judgement_scans_no_table(
        access: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for it. The job makes the fingerprint of the rows that it counted, and ends where it is another."""
    home = home_of(tmp_path, access)
    kept = Dataset("d", Path("cohort:public.judged"), "postgresql", {
        "columns": NUMBERS[:1], "fingerprint": "as registered"})
    monkeypatch.setattr(far, "fingerprint", None)  # as a scan would call it
    with psycopg.connect(access["url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE public.judged AS SELECT age, w FROM public.cohort")
        assert sources.standing(home, kept) == "as registered"
        owner.execute("ALTER TABLE public.judged DROP COLUMN age")
        with pytest.raises(Unfit) as other:
            sources.standing(home, kept)
        assert other.value.code == "dataset.changed"
        owner.execute("DROP TABLE public.judged")
    order = sources.worker_source(replace(home, session_seconds=7), kept)
    assert order["access"]["seconds"] == 7, "no statement outlives a session"


def test_no_constant_is_written_into_a_query(access: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []
    execute = psycopg.Connection.execute

    def heard(connection: Any, query: Any, values: Any = None, **more: Any) -> Any:
        asked.append((str(query), values))
        return execute(connection, query, values, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", heard)
    group = GROUP | {"codes": ["o'zebu", "yak", "xerus", "wolf", "vole"]}
    columns = [number("age", "7654321", "1"), NUMBERS[2], group, SMOKES]
    body = {"op": "and", "of": [{"op": "between", "column": "age", "low": "515153", "high": "616163"},
                                {"op": "in", "column": "age", "values": ["717173", "818183", "919193", "929293"]},
                                {"op": "or", "of": [{"op": "eq", "column": "g", "value": "o'zebu"}, {
                                    "op": "in", "column": "g", "values": ["yak", "xerus", "wolf", "vole"]}]}]}
    plan = with_filter(function("describe@1").plan({"columns": ["n"], "by": "smokes"}, columns, 3, 5000), body, columns)
    counted(plan, "cohort", "postgresql", access=told(access))
    bound = str([list(values.values()) for _, values in asked if isinstance(values, dict)])
    for constant in ("515153", "616163", "717173", "929293", "7654321", "zebu", "yak", "vole"):
        assert constant in bound and not [text for text, _ in asked if constant in text], constant


@pytest.fixture(scope="module")
def filtered(access: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every combination of the odd cells as a table, and as a CSV."""
    place = tmp_path_factory.mktemp("filtered") / "filtered.csv"
    rows = list(product(*CELLS))[::3]
    with place.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[one["name"] for one in COLUMNS[:4]], *rows])
    with psycopg.connect(access["url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE public.filtered (age double precision, sex text, ward text, cost int)")
        owner.cursor().executemany("INSERT INTO public.filtered VALUES (%s, %s, %s, %s)", [
            [cell or None for cell in row] for row in rows])
    return place


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
def test_the_database_keeps_the_rows_that_a_file_would(access: dict[str, Any], filtered: Path, body: Any) -> None:
    """The same filters as DuckDB's, with constants that are SQL, on missing and unlisted cells."""
    table = function("describe@1").plan({"columns": ["cost"], "by": "sex"}, COLUMNS[:4], 3, 5000)
    plan = with_filter(table, body, COLUMNS)
    assert counted(plan, "x", "postgresql", access=told(access | {"table": "filtered"})) == counted(
        plan, filtered, "csv"), json.dumps(body)


@pytest.mark.stack
def test_a_whole_job_over_a_database(access: dict[str, Any], tmp_path: Path) -> None:
    """Confined workers, one hospital's rows in its PostgreSQL, two as files: the same result as three files'."""
    place, columns = tmp_path / "cohort.csv", [*NUMBERS[:1], SMOKES, WHO]
    with psycopg.connect(access["url"]) as owner, place.open("w", newline="", encoding="utf-8") as file:
        rows = owner.execute("SELECT age, smokes, who FROM public.cohort").fetchall()
        csv.writer(file).writerows([["age", "smokes", "who"], *(
            ["" if cell is None else cell for cell in row] for row in rows)])
    far_data = {"path": "cohort", "kind": "postgresql", "fingerprint_check": check_of(access), "access": told(access),
                "unlisted_as_missing": True, "identifiers": ["who"]}

    def change(seat: int, order: dict[str, Any]) -> None:
        if seat == 0:
            order["data"] = far_data
        elif order["data"] is not None:
            order["data"]["identifiers"] = ["who"]

    nursery = Nursery()
    session = Session("describe@1", {"columns": ["age"], "by": "smokes"}, columns, [place] * 3, change=change)
    try:
        session.warm(nursery)
        session.order()
        session.started()
        session.proceed()
        *sealed, _ = session.last()
        assert [message["event"] for message in sealed] == ["sealed"] * 3, sealed
        pattern, totals = session.opened(sealed)
        found = function("describe@1").finish(totals, pattern, session.plan)
    finally:
        session.end()
        nursery.end()
    smokers = [row for row in rows if row[1] and row[0] is not None]
    assert {3 * len(smokers)} <= {row["n"] for row in found["rows"]}, found


@pytest.mark.parametrize("more", ['password = "x"', "port = 0", 'sslmode = "prefer"', 'kind = "mysql"', "seconds = 0",
                                  'sslmode = "disable"'])
def test_an_odd_source_is_refused(tmp_path: Path, more: str) -> None:
    made = config.Config(home=tmp_path / "h", participant="p", role="provider", portal="x", name_zh="甲", name_en="A")
    config.create(made)
    parts = {"kind": '"postgresql"', "host": '"h"', "port": "5432"}
    name, _, value = more.partition(" = ")
    parts[name] = value
    config.write_private(made.home / "config.toml", (made.home / "config.toml").read_text() + "[source.a]\n" + "".join(
        f"{key} = {one}\n" for key, one in parts.items()))
    with pytest.raises(Unfit) as unfit:
        config.load(made.home)
    assert unfit.value.code == "config.malformed"


SPARK = {"kind": '"spark"', "host": '"cluster.hospital"', "port": "15002"}


@pytest.mark.parametrize(("more", "taken"), [
    ({}, True), ({"passfile": '"/etc/token"'}, True), ({"host": '"127.0.0.1"', "sslmode": '"disable"'}, True),
    ({"host": '"::1"', "sslmode": '"disable"'}, True), ({"host": '"localhost"', "sslmode": '"disable"'}, True),
    ({"sslmode": '"disable"'}, False), ({"sslmode": '"require"'}, False), ({"sslrootcert": '"/etc/ca.pem"'}, False),
    ({"user": '"x"'}, False), ({"database": '"x"'}, False)])
def test_a_cluster_keeps_its_words(tmp_path: Path, more: dict[str, str], taken: bool) -> None:
    """No plain text to another machine, and nothing is accepted that would be ignored."""
    made = config.Config(home=tmp_path / "h", participant="p", role="provider", portal="x", name_zh="甲", name_en="A")
    config.create(made)
    config.write_private(made.home / "config.toml", (made.home / "config.toml").read_text() + "[source.a]\n" + "".join(
        f"{key} = {one}\n" for key, one in (SPARK | more).items()))
    if taken:
        config.save(config.load(made.home))
        assert config.load(made.home).sources["a"].kind == "spark", "as it is written again"
        return
    with pytest.raises(Unfit) as unfit:
        config.load(made.home)
    assert unfit.value.code == "config.malformed"

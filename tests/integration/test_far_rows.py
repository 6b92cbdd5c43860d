"""Rows in the hospital's own PostgreSQL: the figures of a file, made there, read-only, confined, fingerprinted."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.postgres import Postgres
from mpc.errors import DataRefused, MpcError
from mpc.functions.plan import Counted, Plan, with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.node import config, sources
from mpc.node.errors import Unfit
from mpc.sources import postgres as far

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
def access(postgres: Postgres | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    if postgres is None:
        pytest.skip("the tests run on another server")
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


def test_register_and_be_asked(access: dict[str, Any], tmp_path: Path) -> None:
    """The home names the source and the file of its password; the cells are checked in the database."""
    made = config.Config(home=tmp_path / "home", participant="p", role="provider", portal="http://x", name_zh="甲",
                         name_en="A")
    config.create(made)
    told_here = ("host", "port", "database", "user", "passfile", "sslmode")
    text = (made.home / "config.toml").read_text() + "\n[source.cohort]\n" + "".join(
        f"{name} = {json.dumps(access[name])}\n" for name in told_here)
    config.write_private(made.home / "config.toml", text + 'kind = "postgresql"\n')
    home = config.load(made.home)
    place = Path("cohort:public.cohort")
    columns = [*NUMBERS, GROUP, SMOKES, WHO]
    assert sources.kind_of(home, place) == "postgresql"
    found = sources.check(home, place, columns, unlisted_as_missing=True)
    assert (found.rows, found.unlisted) == (403, {"g": 1})
    assert sources.fingerprint(home, place) == sources.fingerprint(made, place), "a node that ran before it was named"
    with pytest.raises(Unfit) as nameless:
        sources.fingerprint(home, Path("another:public.cohort"))
    assert nameless.value.code == "dataset.unreachable"
    for wrong in ([*NUMBERS, GROUP], [number("age", "80", "1"), *NUMBERS[1:]], [number("w", "200", "0.5")]):
        with pytest.raises(Unfit) as unfit:
            sources.check(home, place, wrong, unlisted_as_missing=False)
        assert unfit.value.code == "dataset.off_dictionary"
    Path(access["passfile"]).chmod(0o644)
    with pytest.raises(Unfit, match="only its owner"):
        sources.fingerprint(home, place)
    Path(access["passfile"]).chmod(0o600)


@pytest.mark.parametrize("more", ['password = "x"', "port = 0", 'sslmode = "prefer"', 'kind = "mysql"', "seconds = 0"])
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

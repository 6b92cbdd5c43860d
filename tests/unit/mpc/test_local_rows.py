"""Rows are read exactly, whatever the file's spelling; a problem names the column and nothing else."""

import csv
from pathlib import Path

import duckdb
import pytest

from mpc.errors import DataRefused
from mpc.functions.plan import Group
from mpc.functions.rows import Rows, fingerprint
from mpc.node import data
from mpc.node.errors import Unfit

AGE = {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "0.5", "codes": None}
SEX = {"name": "sex, at birth", "kind": "category", "unit": None, "min": None, "max": None, "step": None,
       "codes": ["F", "M \"x\""]}
TEXT = 'id,age,"sex, at birth",note\r\n1,50.0,F,"two\nlines"\r\n2,,"M ""x""",\r\n3,0.5,"",x\r\n4,50,F,"a,b"\r\n'


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_it_works(tmp_path: Path) -> None:
    rows = Rows.open(write(tmp_path / "a.csv", TEXT), "csv", [AGE, SEX])
    found = rows.tally(["sex, at birth"], ["age"])
    assert (rows.number(), found.lacking) == (4, {"age": 1, "sex, at birth": 1})
    assert found.groups == {("F",): Group(2, {"age": (200, 20_000)})}, "complete rows alone, in steps of a half"
    assert rows.tally([], ["age"]).groups[()].number == 3


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    rows = Rows.open(write(tmp_path / "a.csv", b"\xef\xbb\xbfage\n3\n"), "csv", [AGE])
    assert rows.tally([], ["age"]).groups == {(): Group(1, {"age": (6, 36)})}


def test_parquet_reads_the_same(tmp_path: Path) -> None:
    place = tmp_path / "a.parquet"
    made = "SELECT 50.0::DOUBLE AS age, true AS smokes UNION ALL SELECT NULL, false UNION ALL SELECT 0.5, NULL"
    duckdb.connect().execute(f"COPY ({made}) TO '{place}'")
    smokes = SEX | {"name": "smokes", "codes": ["False", "True"]}
    rows = Rows.open(place, "parquet", [AGE, smokes])
    found = rows.tally(["smokes"], ["age"])
    assert found.lacking == {"age": 1, "smokes": 1}
    assert found.groups == {("True",): Group(1, {"age": (100, 10_000)})}


@pytest.mark.parametrize(("kept", "cell"), [("TINYINT", 100), ("SMALLINT", 30_000), ("INTEGER", 30_000_000)])
def test_whole_numbers_of_a_narrow_type_are_counted_on_a_finer_grid(tmp_path: Path, kept: str, cell: int) -> None:
    """100 times such a cell is more than its type holds; what registration took, a job counts."""
    place, key = tmp_path / "a.parquet", bytes(range(32))
    duckdb.connect().execute(f"COPY (SELECT {cell}::{kept} AS age UNION ALL SELECT -3) TO '{place}'")
    cost = AGE | {"min": "-3", "max": str(cell), "step": "0.01"}
    assert Rows.open(place, "parquet", [cost]).misfits() == {"age": 0}
    rows = Rows.open(place, "parquet", [cost], check={"key": key.hex(), "expected": fingerprint(place, key)})
    found = rows.tally([], ["age"], powers=[1, 2])
    rows.settle()
    assert found.groups[()].sums == {"age": (100 * (cell - 3), 10_000 * (cell**2 + 9))}


@pytest.mark.parametrize(("column", "value"), [("age", "121"), ("age", "50.1"), ("age", "fifty"), ("sex", "secret")])
def test_a_value_off_the_dictionary_is_refused_by_column_name_only(tmp_path: Path, column: str, value: str) -> None:
    place = tmp_path / "a.csv"
    with place.open("w", newline="") as file:
        csv.writer(file).writerows([["age", "sex"], [value if column == "age" else "1", value]])
    rows = Rows.open(place, "csv", [AGE, SEX | {"name": "sex"}])
    with pytest.raises(DataRefused) as refused:
        rows.tally(*([], [column]) if column == "age" else ([column],))
    assert refused.value.code == "dataset.off_dictionary"
    assert column in str(refused.value)
    assert value not in str(refused.value)


@pytest.mark.parametrize("text", ["age,sex\n1,2,3\n",
                                  "age\n\"1\n", b"age\n\xff\xfe\n", "sex\n1\n", "age,age\n1,2\n", ""])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(DataRefused):
        Rows.open(write(tmp_path / "a.csv", text), "csv", [AGE]).tally([], ["age"])


def test_the_registered_file_and_no_other(tmp_path: Path) -> None:
    place, key = write(tmp_path / "a.csv", TEXT), bytes(range(32))
    check = {"key": key.hex(), "expected": fingerprint(place, key)}
    Rows.open(place, "csv", [AGE], check=check).settle()
    write(place, TEXT.replace("50.0", "51.0"))
    rows = Rows.open(place, "csv", [AGE], check=check)
    with pytest.raises(DataRefused) as refused:
        rows.settle()
    assert refused.value.code == "dataset.changed"


def test_a_file_that_changes_between_two_questions_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "a.parquet"
    duckdb.connect().execute(f"COPY (SELECT 50.0::DOUBLE AS age) TO '{place}'")
    rows = Rows.open(place, "parquet", [AGE])
    rows.tally([], ["age"])
    duckdb.connect().execute(f"COPY (SELECT 51.0::DOUBLE AS age FROM range(9)) TO '{place}'")
    with pytest.raises(DataRefused) as refused:
        rows.settle()
    assert refused.value.code == "dataset.changed"


def test_a_file_that_stood_elsewhere_for_a_question_is_refused(tmp_path: Path) -> None:
    """Another file is asked in its place; then the registered one is back, of the same inode, size and date."""
    place, other, key = tmp_path / "a.parquet", tmp_path / "b.parquet", bytes(range(32))
    for path, age in ((place, 50), (other, 51)):
        duckdb.connect().execute(f"COPY (SELECT {age}.0::DOUBLE AS age) TO '{path}'")
    rows = Rows.open(place, "parquet", [AGE], check={"key": key.hex(), "expected": fingerprint(place, key)})
    before = place.stat()
    while place.stat().st_ctime_ns == before.st_ctime_ns:  # the file system's clock may be coarse
        kept = place.rename(tmp_path / "kept.parquet")
        other.rename(place)
        assert rows.tally([], ["age"]).groups[()].sums["age"][0] == 102
        place.rename(other)
        kept.rename(place)
    after = place.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    with pytest.raises(DataRefused) as refused:
        rows.settle()
    assert refused.value.code == "dataset.changed"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_codes_that_are_not_listed_count_as_missing_where_the_hospital_said_so(tmp_path: Path, kind: str) -> None:
    place = write(tmp_path / "a.csv", "age,sex\n1,F\n2,rare\n,rare\n3,\n")
    sex = SEX | {"name": "sex", "codes": ["F", "M"]}
    if kind == "parquet":
        duckdb.connect().execute(f"COPY (FROM read_csv('{place}')) TO '{tmp_path}/a.parquet'")
        place = tmp_path / "a.parquet"
    rows = Rows.open(place, kind, [AGE, sex], unlisted_as_missing=True)
    found = rows.tally(["sex"], ["age"])
    assert (found.lacking, rows.number()) == ({"sex": 3, "age": 1}, 4)
    assert {key: one.number for key, one in found.groups.items()} == {("F",): 1}
    with pytest.raises(DataRefused):
        Rows.open(place, kind, [AGE, sex]).tally(["sex"])


def test_a_file_that_is_not_there_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataRefused) as refused:
        Rows.open(tmp_path / "secret-name.csv", "csv", [AGE])
    assert "secret-name" not in str(refused.value)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folders_name_is_no_column(tmp_path: Path, kind: str) -> None:
    """DuckDB would take `age` from the path, in the place of the file's own."""
    place = tmp_path / "age=7" / f"a.{kind}"
    place.parent.mkdir()
    duckdb.connect().execute(f"COPY (SELECT 30 AS age) TO '{place}'")
    assert Rows.open(place, kind, [AGE]).tally([], ["age"]).groups == {(): Group(1, {"age": (60, 3600)})}


@pytest.mark.parametrize("name", ["a[1]", "a?", "a*"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_name_that_stands_for_other_files_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """DuckDB would read a1 while the fingerprint is that of a[1]."""
    for which, age in (("a1", 99), ("made", 30)):
        duckdb.connect().execute(f"COPY (SELECT {age} AS age) TO '{tmp_path / which}.{kind}'")
    place = (tmp_path / f"made.{kind}").rename(tmp_path / f"{name}.{kind}")
    with pytest.raises(DataRefused):
        Rows.open(place, kind, [AGE])
    with pytest.raises(Unfit) as unfit:
        data.draft(place)
    assert unfit.value.code == "dataset.unreadable"

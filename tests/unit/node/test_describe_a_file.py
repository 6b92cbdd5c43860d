"""What leaves a node about a file: a dictionary without exact extremes or rare codes, and a keyed fingerprint."""

import json
from fractions import Fraction
from pathlib import Path

import duckdb
import pytest

from ledger.documents import new_document, new_id
from mpc.functions.rows import fingerprint as engines_fingerprint
from mpc.node import data
from mpc.node.errors import Unfit

HEART = Path(__file__).parents[3] / "fixtures" / "hospitals" / "uci-heart"
KEY = bytes(range(32))


def written(tmp_path: Path, text: str, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["cleveland", "budapest", "zurich-basel", "long-beach"])
def test_it_works(name: str) -> None:
    path = HEART / f"{name}.csv"
    columns = data.draft(path)
    by_name = {one["name"]: one for one in columns}
    assert by_name["age"]["kind"] == "number" and "Male" in by_name["sex"]["codes"]
    assert by_name["patient_id"]["kind"] == "identifier"
    data.check_file(path, columns, unlisted_as_missing=True)
    new_document("dataset", id=new_id(), provider=new_id(), number=1, name=name, title={"zh": "x", "en": "x"},
                 columns=columns, rows_max=500, fingerprint="00" * 32)


@pytest.mark.parametrize("name", ["cleveland", "budapest", "zurich-basel", "long-beach"])
def test_the_fixtures_fit_their_dictionary(name: str) -> None:
    known = data.read_dictionary(HEART / "dictionary.json")
    assert known.title["en"] and not known.unlisted_as_missing
    assert data.check_file(HEART / f"{name}.csv", known.columns).unlisted == {}


def test_bounds_are_steps_and_rare_codes_are_gone(tmp_path: Path) -> None:
    rows = [f"{20 + n % 57},{'a' if n % 2 else 'b'}" for n in range(100)] + ["87,secret"] * 9
    columns = {one["name"]: one for one in data.draft(written(tmp_path, "age,ward\n" + "\n".join(rows) + "\n"))}
    assert (columns["age"]["min"], columns["age"]["max"], columns["age"]["step"]) == ("0", "100", "1")
    assert columns["ward"]["codes"] == ["a", "b"]


def test_unlisted_codes_are_a_mistake_unless_allowed(tmp_path: Path) -> None:
    path = written(tmp_path, "ward\n" + "a\nb\n" * 20 + "secret\n")
    columns = [data.column("ward", "category", codes=["a", "b"])]
    with pytest.raises(Unfit) as caught:
        data.check_file(path, columns)
    assert "1 cells of ward" in str(caught.value) and "secret" not in str(caught.value)
    assert data.check_file(path, columns, unlisted_as_missing=True) == data.Findings(41, {"ward": 1})


@pytest.mark.parametrize("cell", ["121", "-1", "30.5", "abc", "1e2", "+3", " 3"])
def test_a_number_off_its_grid(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path, f'age\n30\n"{cell}"\n')
    with pytest.raises(Unfit) as caught:
        data.check_file(path, [data.column("age", "number", low="0", high="120", step="1")])
    assert cell.strip() not in str(caught.value).replace("1 cells", "")


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path, 'age,x\n30,1\n,1\n"",1\n')
    columns = [data.column("age", "number", low="0", high="120", step="1"), data.column("x", "text")]
    assert data.check_file(path, columns).rows == 3


def test_columns_must_be_those_of_the_dictionary(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="columns"):
        data.check_file(written(tmp_path, "age,name\n30,x\n"), [data.column("age", "text")])


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    duckdb.sql(f"COPY (SELECT range AS n, range % 2 = 0 AS even FROM range(30)) TO '{path}' (FORMAT parquet)")
    columns = {one["name"]: one for one in data.draft(path)}
    assert columns["even"]["codes"] == ["False", "True"]
    data.check_file(path, list(columns.values()))


@pytest.mark.parametrize(("value", "up", "down"), [
    ("77", "100", "50"), ("100", "100", "100"), ("0.3", "0.5", "0.2"), ("-2.6", "-2", "-5"), ("0", "0", "0"),
    ("6.2", "10", "5"), ("0.004", "0.005", "0.002"),
])
def test_widen(value: str, up: str, down: str) -> None:
    assert data.widen(Fraction(value), up=True) == Fraction(up)
    assert data.widen(Fraction(value), up=False) == Fraction(down)


@pytest.mark.parametrize(("rows", "most"), [(0, 10), (10, 10), (11, 20), (303, 500), (1001, 2000)])
def test_rows_max(rows: int, most: int) -> None:
    assert data.rows_max(rows) == most


def test_the_fingerprint_is_keyed_and_the_engines_own(tmp_path: Path) -> None:
    path = written(tmp_path, "age\n30\n")
    found = data.fingerprint(path, KEY)
    assert found == engines_fingerprint(path, KEY)
    assert found != data.fingerprint(path, bytes(32))
    path.write_text("age\n31\n")
    assert found != data.fingerprint(path, KEY)


def test_other_files_are_not_datasets(tmp_path: Path) -> None:
    for name, code in (("a.xlsx", "dataset.kind"), ("absent.csv", "dataset.unreadable")):
        with pytest.raises(Unfit) as caught:
            data.draft(tmp_path / name)
        assert caught.value.code == code
    with pytest.raises(Unfit, match="cannot be read"):
        data.fingerprint(tmp_path / "absent.csv", KEY)


@pytest.mark.parametrize(("text", "where"), [
    ("{", ""), ('{"columns": 1}', "/columns"), ("[]", "object"), ('{"columns": [{"name": "age"}]}', "/columns/0/label"),
    ('{"columns": [], "columns": []}', "twice"), ('{"surprise": 1, "columns": []}', "object"),
])
def test_a_dictionary_that_is_none_says_where(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(Unfit) as caught:
        data.read_dictionary(written(tmp_path, text, "x.dictionary.json"))
    assert caught.value.code == "dictionary.malformed" and where in str(caught.value)


def test_a_dictionary_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = (HEART / "dictionary.json").read_text(encoding="utf-8")
    assert len(data.read_dictionary(written(tmp_path, "\ufeff" + text, "x.dictionary.json")).columns) == 15


def test_a_draft_read_back_drops_what_it_does_not_list(tmp_path: Path) -> None:
    path = written(tmp_path, "ward\n" + "a\nb\n" * 20 + "secret\n")
    place = written(tmp_path, json.dumps(data.drafted(path)), "file.dictionary.json")
    known = data.read_dictionary(place)
    assert known.unlisted_as_missing and "secret" not in place.read_text()
    with pytest.raises(Unfit):
        data.read_dictionary(written(tmp_path, '{"unlisted": "kept", "columns": []}', "other.dictionary.json"))

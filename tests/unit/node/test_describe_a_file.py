"""What leaves a node about a file: a dictionary without exact extremes or rare codes, and a keyed fingerprint."""

import json
from fractions import Fraction
from pathlib import Path

import duckdb
import pytest

from ledger.documents import new_document, new_id
from mpc.functions.rows import fingerprint as engines_fingerprint
from mpc.node import config, data, sources
from mpc.node.book import Dataset
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
    place = written(tmp_path, json.dumps(data.drafted_file(path)), "file.dictionary.json")
    known = data.read_dictionary(place)
    assert known.unlisted_as_missing and "secret" not in place.read_text()
    for wrong in ('"unlisted": "kept"', '"one_person_per_row": 1', '"one_person_per_row": "yes"'):
        with pytest.raises(Unfit):
            data.read_dictionary(written(tmp_path, f'{{{wrong}, "columns": []}}', "other.dictionary.json"))


def test_who_a_person_is_somebody_must_say(tmp_path: Path) -> None:
    """A patient's number that stands in many rows looks like any code or number; a visit's looks like a person."""
    rows = [f"{visit},{'P1' if visit % 2 else 'P2'},{1000 + visit % 70},{visit % 90}" for visit in range(700)]
    path = written(tmp_path, "visit,patient_id,admission,age\n" + "\n".join(rows) + "\n")
    made = data.drafted(path)
    assert set(made.candidates) >= {"visit", "patient_id", "admission"}, "two codes alone, but for its name"
    draft = data.read_dictionary(written(tmp_path, json.dumps(data.drafted_file(path)), "x.dictionary.json"))
    assert draft.identifiers == ["visit"] and draft.one_person_per_row is None
    with pytest.raises(Unfit, match="patient_id") as open_yet:
        data.with_persons(draft)
    assert open_yet.value.code == "dictionary.persons"
    said = data.with_persons(draft, column_name="patient_id")
    assert said.identifiers == ["patient_id"] and said.one_person_per_row is False
    each = data.with_persons(draft, per_row=True)
    assert each.identifiers == [] and each.one_person_per_row is True
    for nonsense in ({"column_name": "nobody"}, {"column_name": "visit", "per_row": True}):
        with pytest.raises(Unfit):
            data.with_persons(draft, **nonsense)
    written_by_hand = data.Dictionary(said.columns, {}, unlisted_as_missing=False)
    assert data.with_persons(written_by_hand) == written_by_hand
    for contradiction in (data.Dictionary(said.columns, {}, False, True), data.Dictionary(each.columns, {}, False)):
        with pytest.raises(Unfit) as refused:
            data.with_persons(contradiction)
        assert refused.value.code == "dictionary.persons"


@pytest.mark.parametrize(("columns", "code"), [
    ([data.column("bmi", "number", low="0", high="50", step="0.000000000000001")], "dictionary.too_fine"),
    ([data.column("bmi", "number", low="0", high="1", step="0." + "0" * 18 + "1")], "dictionary.too_fine"),
    ([data.column("bmi", "number", low="0.5", high="50", step="1")], "dictionary.malformed")])
def test_what_no_job_could_count_is_refused_at_once(tmp_path: Path, columns: list[data.Column], code: str) -> None:
    """24.489795918367346 fits bounds and step; 50 of such steps are more than 53 bits hold."""
    path = written(tmp_path, "bmi\n24.489795918367346\n")
    with pytest.raises(Unfit) as refused:
        data.check_file(path, columns)
    assert refused.value.code == code


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_draft_of_unrounded_numbers_says_to_round_them(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"file.{kind}"
    duckdb.sql(f"COPY (SELECT (60 + range % 40) / 1.7 / 1.7 AS bmi FROM range(400)) TO '{path}'")
    made = data.drafted(path)
    assert [one["kind"] for one in made.columns] == ["text"] and "round" in made.notes["bmi"]
    data.check_file(path, made.columns)


@pytest.mark.parametrize(("zeros", "kind"), [(20, "number"), (24, "text"), (300, "text")])
def test_leading_zeros_are_read_here_as_in_a_job(tmp_path: Path, zeros: int, kind: str) -> None:
    """What a job would count as missing is no number, neither drafted nor registered."""
    path = written(tmp_path, "age\n" + "".join(f"{n % 30}\n" for n in range(60)) + "0" * zeros + "7\n")
    assert [one["kind"] for one in data.draft(path)] == [kind]
    age = [data.column("age", "number", low="0", high="120", step="1")]
    if kind == "number":
        assert data.check_file(path, age).rows == 61
    else:
        with pytest.raises(Unfit, match="1 cells of age"):
            data.check_file(path, age)


def test_digits_beyond_all_reckoning_are_text(tmp_path: Path) -> None:
    path = written(tmp_path, "n\n" + "".join(f"{n}{'9' * 60}\n" for n in range(1, 90)))
    assert data.draft(path)[0]["kind"] != "number"


@pytest.mark.parametrize("header", ["age,age", ""])
def test_a_header_without_distinct_names_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(Unfit) as refused:
        data.draft(written(tmp_path, f"{header}\n1,2\n"))
    assert refused.value.code == "dataset.unreadable"


def test_a_judgement_reads_a_file_once_and_again_when_somebody_touched_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = config.Config(home=tmp_path / "home", participant="p", role="provider", portal="x", name_zh="x", name_en="x")
    config.create(home)
    path = written(tmp_path, "age\n30\n")
    kept, read, made = Dataset("d", path, "csv", {"columns": []}), list[Path](), data.fingerprint
    monkeypatch.setattr(data, "fingerprint", lambda place, key: read.append(place) or made(place, key))
    first = sources.standing(home, kept)
    assert sources.standing(home, kept) == first == made(path, home.local_key()) and len(read) == 1
    written(tmp_path, "age\n301\n")
    assert sources.standing(home, kept) == made(path, home.local_key()) != first
    path.unlink()
    with pytest.raises(Unfit) as gone:
        sources.standing(home, kept)
    assert gone.value.code == "dataset.unreadable"

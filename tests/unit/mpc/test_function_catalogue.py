"""The catalogue: digests of the code that stands here, parameters that fit or are refused."""

import subprocess
import sys
from typing import Any

import pytest

from mpc import catalog
from mpc.catalog import CATALOG, digest_of, validate_parameters
from mpc.errors import ParametersInvalid

COLUMNS: list[dict[str, Any]] = [
    {"name": "age", "kind": "number", "codes": None}, {"name": "n", "kind": "number", "codes": None},
    {"name": "sex", "kind": "category", "codes": ["F", "M"]},
    {"name": "grade", "kind": "category", "codes": ["0", "1"]},
    {"name": "id", "kind": "identifier", "codes": None},
    {"name": "wide", "kind": "category", "codes": [str(code) for code in range(20_000)]},
]


def test_it_works() -> None:
    validate_parameters("describe@1", {"columns": ["age"], "by": "sex"}, COLUMNS)
    validate_parameters("describe@1", {"columns": ["age"], "by": None}, COLUMNS)
    validate_parameters("crosstab@1", {"rows": "sex", "columns": "grade"}, COLUMNS)


def test_the_committed_digests_are_those_of_the_code() -> None:
    assert catalog.stale() == []
    assert catalog.main(["--check"]) == 0
    assert all(entry.digest == digest_of(key) for key, entry in CATALOG.items())


def test_a_changed_source_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalog, "SHARED_SOURCES", catalog.SHARED_SOURCES[1:])
    assert catalog.main(["--check"]) == 1
    assert "describe@1" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "parameters"), [
    ("median@1", {}), ("describe@1", {"columns": ["age"]}), ("describe@1", {"columns": [], "by": None}),
    ("describe@1", {"columns": ["age", "age"], "by": None}), ("describe@1", {"columns": ["sex"], "by": None}),
    ("describe@1", {"columns": ["age"], "by": "age"}), ("describe@1", {"columns": ["n"], "by": None}),
    ("describe@1", {"columns": "age", "by": None}), ("describe@1", {"columns": [["age"]], "by": None}),
    ("describe@1", {"columns": ["age"], "by": None, "filter": "x"}), ("crosstab@1", {"rows": "sex", "columns": "sex"}),
    ("crosstab@1", {"rows": "sex", "columns": "id"}), ("crosstab@1", {"rows": "sex", "columns": "nobody"}),
    ("crosstab@1", {"rows": "sex", "columns": "wide"}), ("crosstab@1", ["sex", "grade"]),
])
def test_what_does_not_fit_is_refused(key: str, parameters: Any) -> None:
    with pytest.raises(ParametersInvalid) as refused:
        validate_parameters(key, parameters, COLUMNS)
    assert refused.value.code == "parameters.invalid"


def test_the_catalogue_costs_neither_numpy_nor_torch() -> None:
    code = ("import sys, mpc.catalog, mpc.spec; "
            "print(sorted({'numpy', 'torch', 'crypten', 'duckdb', 'pandas'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

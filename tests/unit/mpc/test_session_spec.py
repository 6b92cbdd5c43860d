"""What a spec binds: the session id, the roster, the common dictionary. Golden values: change them knowingly."""

from copy import deepcopy
from typing import Any

import pytest

from mpc.errors import SpecRefused
from mpc.spec import check_engine, check_roster, common_columns, rows_max_total, session_id

JOB, VERDICTS, DEALER = "11" * 32, ["aa" * 32, "bb" * 32, "cc" * 32], "dd" * 32


def spec(parties: int = 3) -> dict[str, Any]:
    sets = [f"dataset-{seat}" for seat in range(parties)]
    return {
        "inputs": [{"dataset": name, "provider": f"hospital-{seat}"} for seat, name in enumerate(sets)],
        "grants": [{"dataset": name} for name in sets],
        "roster": [{"seat": seat, "participant": f"hospital-{seat}", "signing": f"key-{seat}"}
                   for seat in range(parties)],
        "dealer": {"participant": "office"}, "recipient": {"participant": "maker"},
        "engine": "crypten/1", "filter": None,
    }


def test_it_works() -> None:
    check_roster(spec())
    check_engine(spec())
    assert session_id(JOB, 1, VERDICTS, DEALER) == (
        "b61f047efc5ed1ef007e8d940f7953662e457ca44bb58b5481392c09237827a4")


def test_any_difference_is_another_session_and_the_order_of_verdicts_is_none() -> None:
    same = session_id(JOB, 1, VERDICTS, DEALER)
    assert session_id(JOB, 1, VERDICTS[::-1], DEALER) == same
    others = {session_id("12" * 32, 1, VERDICTS, DEALER), session_id(JOB, 2, VERDICTS, DEALER),
              session_id(JOB, 1, [*VERDICTS[:2], "ce" * 32], DEALER), session_id(JOB, 1, VERDICTS[:2], DEALER),
              session_id(JOB, 1, VERDICTS, "de" * 32)}
    assert len(others | {same}) == 6


@pytest.mark.parametrize("arguments", [("XX", 1, VERDICTS, DEALER), (JOB, 0, VERDICTS, DEALER),
                                       (JOB, 1, ["aa" * 32] * 2, DEALER), (JOB, True, VERDICTS, DEALER),
                                       (JOB, 1, VERDICTS, "DD" * 32)])
def test_malformed_parts_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(SpecRefused):
        session_id(*arguments)


def changed(path: str, value: Any) -> dict[str, Any]:
    made: Any = deepcopy(spec())
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = made
    for part in way:
        place = place[part]
    place[last] = value
    return dict(made)


@pytest.mark.parametrize("lie", [
    spec(2), spec(17), changed("roster.1.participant", "hospital-0"), changed("roster.2.seat", 0),
    changed("roster.2.signing", "key-0"), changed("inputs.0.dataset", "dataset-9"), changed("grants.0.dataset", "x"),
    changed("dealer.participant", "hospital-1"), changed("recipient.participant", "hospital-1"),
    changed("recipient.participant", "office"),
])
def test_a_roster_that_is_not_the_granted_set_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(SpecRefused) as refused:
        check_roster(lie)
    assert refused.value.code == "spec.roster_mismatch"


def test_another_engine_is_refused() -> None:
    with pytest.raises(SpecRefused):
        check_engine(changed("engine", "crypten/2"))


def number(low: str, high: str, step: str = "1", unit: str | None = "a") -> dict[str, Any]:
    return {"name": "age", "kind": "number", "unit": unit, "min": low, "max": high, "step": step, "codes": None}


def category(*codes: str) -> dict[str, Any]:
    return {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None,
            "codes": list(codes)}


def test_the_common_dictionary_widens_bounds_and_collects_codes() -> None:
    common = common_columns([[number("9", "100"), category("F", "M")], [category("M", "X"), number("10", "90", "1.0")]])
    assert common == [number("9", "100"), category("F", "M", "X")]


@pytest.mark.parametrize("other", [number("0", "9", "0.1"), number("0", "9", unit="b"),
                                   category("F") | {"name": "age"}])
def test_a_column_that_means_something_else_elsewhere_is_left_out(other: dict[str, Any]) -> None:
    assert common_columns([[number("0", "9")], [other]]) == []
    assert common_columns([]) == []


def test_rows_add_up() -> None:
    assert rows_max_total([{"rows_max": 200}, {"rows_max": 500}]) == 700

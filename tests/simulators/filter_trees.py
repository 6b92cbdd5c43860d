"""Rows and filters over them, made up by Hypothesis: the same for whoever keeps the rows."""

from typing import Any

from hypothesis import strategies as st

AGE = {"name": "age", "kind": "number", "unit": "a", "min": "0", "max": "120", "step": "0.5", "codes": None}
SEX = {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": ["F", "M"]}
WARD = SEX | {"name": "ward", "codes": ["a", "b", "c'; DROP TABLE held; --"]}
COST = AGE | {"name": "cost", "max": "1000", "step": "1"}
WHO = SEX | {"name": "who", "kind": "identifier", "codes": None}
COLUMNS: list[dict[str, Any]] = [AGE, SEX, WARD, COST, WHO]

CELLS = (["", "0", "0.5", "60", "60.0", "61.5", "120"], ["", "F", "M"], ["", *WARD["codes"], "rare"], ["", "1", "7"])
LEAVES = st.one_of(
    st.builds(lambda op, value: {"op": op, "column": "age", "value": value},
              st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), st.sampled_from(["0", "0.5", "60", "60.0"])),
    st.builds(lambda low, high: {"op": "between", "column": "age", "low": low, "high": high},
              st.sampled_from(["0", "60"]), st.sampled_from(["60", "120"])),
    st.builds(lambda name: {"op": "missing", "column": name}, st.sampled_from(["age", "ward"])),
    st.builds(lambda op, value: {"op": op, "column": "ward", "value": value}, st.sampled_from(["eq", "ne"]),
              st.sampled_from(WARD["codes"])),
    st.builds(lambda values: {"op": "in", "column": "ward", "values": values},
              st.lists(st.sampled_from(WARD["codes"]), min_size=1, unique=True)),
    st.builds(lambda values: {"op": "in", "column": "age", "values": values},
              st.lists(st.sampled_from(["0.5", "60", "61.5", "120"]), min_size=1, unique=True)))
TREES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.builds(lambda of: {"op": "not", "of": of}, inner),
    st.builds(lambda op, of: {"op": op, "of": of}, st.sampled_from(["and", "or"]),
              st.lists(inner, min_size=2, max_size=3))), max_leaves=6)
ROWS = st.lists(st.tuples(*map(st.sampled_from, CELLS)), max_size=15)

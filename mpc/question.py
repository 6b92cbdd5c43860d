"""Whether a function can be asked this of these datasets: what follows from catalogue, dictionaries and records alone.

One check for portal, buyer and every node, so that nobody takes a job that no worker could compute. The plan itself,
and with it the size of the gate, is made by `mpc.functions.registry.plan_for`, which the portal may not import. Reads
no row, holds no key, imports neither numpy nor a function's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpc.catalog import validate_datasets, validate_parameters
from mpc.encoding import Grid, check_count_fit
from mpc.filters import columns_of, tabulated, validate_filter
from mpc.sources.shape import Scale
from mpc.spec import common_columns, rows_max_total

Dictionary = list[dict[str, Any]]


def check_question(key: str, parameters: Mapping[str, Any], given: object,
                   datasets: Sequence[Mapping[str, Any]]) -> Dictionary:
    """The one dictionary that these datasets have in common; raises `parameters.invalid` or `encoding.*`."""
    columns = common_columns([one["columns"] for one in datasets])
    validate_parameters(key, parameters, columns)
    table = tabulated(parameters, columns)
    looked = columns_of(validate_filter(given, columns, tabulated=table))
    validate_datasets(key, parameters, datasets)
    rows = rows_max_total(datasets)
    check_count_fit(rows)
    for one in columns:
        if one["kind"] == "number" and one["name"] in table | looked:
            Scale.of(one)
        if one["kind"] == "number" and one["name"] in table:
            Grid.of(one).check_fit(rows)
    return columns

"""From a function's key to its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mpc.errors import ParametersInvalid
from mpc.functions import crosstab, describe
from mpc.functions.plan import Columns, Counted, Plan, with_filter
from mpc.question import check_question
from mpc.spec import rows_max_total


@dataclass(frozen=True)
class Function:
    """The four parts of a function; all of them run through `sums.run`."""

    plan: Callable[[Mapping[str, Any], Columns, int, int], Plan]
    local: Callable[..., Counted]
    finish: Callable[[Sequence[int], tuple[bool, ...], Plan], dict[str, Any]]
    plain: Callable[..., dict[str, Any]]


FUNCTIONS: Mapping[str, Function] = MappingProxyType({
    module.KEY: Function(module.plan, module.local, module.finish, module.plain) for module in (describe, crosstab)
})


def function(key: str) -> Function:
    if key not in FUNCTIONS:
        raise ParametersInvalid(f"no function {key}")
    return FUNCTIONS[key]


def plan_for(key: str, parameters: Mapping[str, Any], given: object, datasets: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan that a job over these datasets' records means, or `parameters.invalid` or `encoding.*`: all that can be
    refused before anybody takes the job."""
    columns = check_question(key, parameters, given, datasets)
    made = function(key).plan(parameters, columns, len(datasets), rows_max_total(datasets))
    return with_filter(made, given, columns)

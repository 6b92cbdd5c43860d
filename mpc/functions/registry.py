"""From a function's key to its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mpc.errors import ParametersInvalid
from mpc.functions import crosstab, describe
from mpc.functions.plan import Columns, Counted, Plan


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

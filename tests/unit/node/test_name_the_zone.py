"""A rule about hours or days says in whose zone; UTC is taken from nobody who did not write it."""

import pytest

from mpc.node.policyfile import Malformed, load

RULE = '[[rule]]\ncustomers = ["*"]\nfunctions = ["describe"]\ndecision = "auto"\n'
TIMES = ('hours = "08:00-18:00"', 'days = ["mon"]', "per_day = 3")


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "+08:00", "UTC"])
@pytest.mark.parametrize("line", TIMES)
def test_it_works(zone: str, line: str) -> None:
    assert len(load(f'zone = "{zone}"\n{RULE}{line}\n'.encode(), key=bytes(32)).rules) == 1


@pytest.mark.parametrize("line", TIMES)
def test_hours_of_nowhere_are_refused_at_their_line(line: str) -> None:
    with pytest.raises(Malformed, match="needs a zone") as caught:
        load(f"{RULE}{RULE}{line}\n".encode(), key=bytes(32))
    assert caught.value.line == 9


def test_a_policy_that_speaks_of_no_time_needs_none() -> None:
    assert len(load(RULE.encode(), key=bytes(32)).rules) == 1

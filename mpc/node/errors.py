"""What a node says when it will not: a stable code, the rule it stands on, and who can change that.

The texts name documents and rules, never a value of a row; which code is raised never depends on data, but for one:
`dataset.changed` says that bytes differ, not how.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mpc.errors import WHO_MUST_ACT, MpcError

CODES = WHO_MUST_ACT


class NodeError(MpcError):
    """Root of what the node itself raises: a code and a text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text, code=code)


class Refused(NodeError):
    """This node does not take part in this job. `seats`, where it is about members: without them it might."""

    def __init__(self, code: str, rule: str, who_must_act: str | None = None, *, seats: Iterable[int] = ()) -> None:
        if code not in CODES:
            raise ValueError(f"{code} is not a public code")
        super().__init__(code, rule)
        self.rule = rule
        self.who_must_act = who_must_act or CODES[code]
        self.seats = tuple(seats)


@contextmanager
def about(seat: int) -> Iterator[None]:
    """Whatever is refused in here is about the member of this seat."""
    try:
        yield
    except Refused as refusal:
        refusal.seats = (seat,)
        raise


class Unfit(NodeError):
    """Something at this node is not as it must be: a file, a dictionary, a setting."""


class Unsettled(NodeError):
    """We could not find out now (chain or portal unreachable); says nothing of the answer."""

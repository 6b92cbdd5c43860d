"""A node whose clock is off: `python shifted_node.py SECONDS run --home HOME`; the agent's alone, for its workers are
other processes. Nothing of the node's own code knows of it."""

import datetime
import sys
import time
from typing import Any

AHEAD = float(sys.argv.pop(1))
_time = time.time


class _Shifted(datetime.datetime):
    """What every module of the node imports as `datetime`."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().now(tz) + datetime.timedelta(seconds=AHEAD)


time.time = lambda: _time() + AHEAD
datetime.datetime = _Shifted  # type: ignore[misc]

from mpc.node.__main__ import main  # noqa: E402 - its clock first

sys.exit(main())

"""Agreements over products that this organisation leads: co-signed when everything checks and the policy says `auto`.

What was looked at once is not looked at again for a while, however often the portal shows it. Signs nothing else.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ledger.errors import LedgerError, PortalRefused, PortalUnavailable
from mpc.node.desk import sign_agreement
from mpc.node.logs import note
from mpc.node.policy import Decision, Policy
from mpc.node.sessions import Home

AGAIN = 600.0
MOST = 1000


class Cosigner:
    """For one home; `policy` is asked at every agreement."""

    def __init__(self, home: Home, door: Any, policy: Callable[[], Policy]) -> None:
        self._home, self._door, self._policy = home, door, policy
        self._left: dict[str, float] = {}

    def sign(self, item: Mapping[str, Any]) -> None:
        """Sign, or leave it to a person."""
        id = str(item["id"])
        if not self._home.party or self._left.get(id, 0.0) > time.monotonic():
            return
        if self._policy().agreements is not Decision.AUTO:
            note("agreement.held", agreement=id)
            self._leave(id)
            return
        try:
            wire = sign_agreement(self._door, self._home.keys, self._home.trust, item)
        except PortalUnavailable:
            raise
        except LedgerError as error:
            if isinstance(error, PortalRefused) and not error.final:
                raise
            note("agreement.refused", agreement=id, code=error.code)
            self._leave(id)
            return
        self._door.post(f"/agreements/{id}/signature", {"document": wire})
        note("agreement.signed", agreement=id)

    def _leave(self, id: str) -> None:
        now = time.monotonic()
        self._left = {one: until for one, until in list(self._left.items())[-MOST:] if until > now}
        self._left[id] = now + AGAIN

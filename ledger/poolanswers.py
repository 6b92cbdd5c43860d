"""What a node's answer to eth_sendRawTransaction means. Pure: text in, meaning out.

Only what can never become true later is a refusal. A full pool, a limit of requests, an internal error, and whatever no
row knows, leave it open whether the transaction will be mined: the same bytes are sent again.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Meaning(StrEnum):
    """Of one node's answer, for one transaction."""

    KNOWN = "known"  # it has these bytes already
    NONCE_USED = "nonce_used"  # mined, perhaps this very transaction
    REFUSED = "refused"  # these bytes will never be taken
    OPEN = "open"


_ROWS = (  # the first that fits; words of geth, anvil, Besu, Nethermind and FISCO BCOS, in lower case without marks
    (Meaning.KNOWN, r"already (known|imported|exists)|known transaction|alreadyknown|alreadyintxpool|already in (the )?"
                    r"(tx|transaction) ?pool|transaction is already|alreadyinblockchain"),
    (Meaning.NONCE_USED, r"nonce (is )?too low|noncetoolow|invalid nonce|noncecheckfail|nonce below|oldnonce"),
    (Meaning.OPEN, r"too distant|gap|too high|limit (exceeded|reached)|rate|too many|pool is full|txpool|underpriced"
                   r"|internal|timeout|timed out|busy|syncing|not (yet )?(ready|synced)|unavailable|overload"),
    (Meaning.REFUSED, r"invalid (sender|signature|chain id|chainid|transaction|rlp|v value)|invalidsignature"
                      r"|chain ?id|replay.?protect|only replay|intrinsic gas|gas too low|exceeds block gas limit"
                      r"|gas limit|insufficient (funds|balance)|upfront cost|oversized|too large|rlp|decode"
                      r"|transaction type|not authorized|permission|revert|initcode|max code size"),
)  # fmt: skip
INTERNAL_CODES = frozenset({-32603, -32005, -32016, -32097})  # internal error, and limits


def meaning(code: int, message: str) -> Meaning:
    said = re.sub(r"[_\-]", " ", message.lower())
    for found, pattern in _ROWS:
        if found in (Meaning.OPEN, Meaning.REFUSED) and code in INTERNAL_CODES:
            return Meaning.OPEN
        if re.search(pattern, said):
            return found
    return Meaning.OPEN

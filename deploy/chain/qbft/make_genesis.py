"""Writes the genesis file of a Besu QBFT chain from its validators' addresses.

    python -m deploy.chain.qbft.make_genesis CHAIN_ID 0xADDRESS 0xADDRESS 0xADDRESS 0xADDRESS > genesis.json

Each organisation makes its own node key and tells its address (`besu public-key export-address`); no key passes here.
Not run on Besu by us: see ../README.md.
"""

import json
import re
import sys
import time
from collections.abc import Sequence

from ledger.chainproof import encode

FEWEST = 4
VANITY = bytes(32)
BYZANTINE = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"  # marks a BFT header
FORKS = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul",
         "muirGlacier", "berlin", "london")  # fmt: skip


def extra_data(validators: Sequence[str]) -> str:
    """Vanity, validators in ascending order, no vote, round 0, no seals."""
    members = sorted(bytes.fromhex(one.removeprefix("0x")) for one in validators)
    return "0x" + encode([VANITY, list(members), [], b"", []]).hex()


def genesis(chain_id: int, validators: Sequence[str], *, now: int) -> dict[str, object]:
    """A block a second, free gas, contracts as `london` knows them."""
    if any(re.fullmatch("0x[0-9a-fA-F]{40}", one) is None for one in validators):
        raise ValueError("a validator is an address: 0x and 40 hexadecimal digits")
    if len({one.lower() for one in validators}) != len(validators) or len(validators) < FEWEST:
        raise ValueError(f"at least {FEWEST} different validators, so that one may be lost")
    config: dict[str, object] = {"chainId": chain_id, **{f"{fork}Block": 0 for fork in FORKS}}
    config |= {"zeroBaseFee": True,
               "qbft": {"blockperiodseconds": 1, "epochlength": 30_000, "requesttimeoutseconds": 4}}  # fmt: skip
    return {
        "config": config, "nonce": "0x0", "timestamp": hex(now), "gasLimit": "0x1c9c380", "difficulty": "0x1",
        "mixHash": BYZANTINE, "coinbase": "0x" + "00" * 20, "alloc": {}, "extraData": extra_data(validators),
    }  # fmt: skip


def main() -> int:
    if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
        print(__doc__, file=sys.stderr)
        return 2
    try:
        made = genesis(int(sys.argv[1]), sys.argv[2:], now=int(time.time()))
    except ValueError as trouble:
        print(trouble, file=sys.stderr)
        return 1
    print(json.dumps(made, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

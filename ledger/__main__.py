"""`python -m ledger verify RECEIPT --trust FILE --fingerprint HEX [--rpc URL]`: check a receipt, trusting nobody else.

Prints a line for each level. Exit status 0: nothing is invalid, inclusion and log signature are valid, and with --rpc
the chain's state too; 1: it does not hold; 2: something could not be read, or the chain not be asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledger.endpoint import chain_root_reader
from ledger.errors import ChainUnavailable, LedgerError, VerificationError
from ledger.receipt import verify_receipt
from ledger.trust import load_trust


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ledger", description="Check a receipt.")
    verify = parser.add_subparsers(dest="command", required=True).add_parser("verify", help="check a receipt's file")
    verify.add_argument("file", type=Path)
    verify.add_argument("--trust", type=Path, required=True, help="the space's signed trust file")
    verify.add_argument("--fingerprint", required=True,
                        help="of the regulator's root key, from outside the portal (SHA-256, hex)")
    verify.add_argument("--rpc", help="an endpoint of the chain to ask for the anchored root")
    given = parser.parse_args(arguments)
    try:
        trust = load_trust(given.trust, fingerprint=given.fingerprint)
        reader = chain_root_reader(trust, given.rpc) if given.rpc else None
        levels = verify_receipt(given.file.read_bytes(), trust, chain_root=reader)
    except OSError as trouble:
        print(f"cannot read: {trouble}", file=sys.stderr)
        return 2
    except LedgerError as trouble:
        print(f"invalid: {trouble}", file=sys.stderr)
        return 1
    for name, level in levels.as_dict().items():
        reason = levels.reasons.get(name, "")
        print(f"{name.replace('_', ' '):<14} {level}" + (f"  ({reason})" if reason else ""))
    try:
        levels.require(with_chain=given.rpc is not None)
    except ChainUnavailable:
        print("nothing is wrong with the receipt, but what the chain says is not known")
        return 2
    except VerificationError:
        print("the receipt does not hold")
        return 1
    print("the receipt holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())

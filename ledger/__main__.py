"""`python -m ledger verify RECEIPT --trust FILE --fingerprint HEX`: check a receipt, trusting nobody else.

Prints a line for each level. Exit status 0: nothing is invalid and every required level is valid; 1: it does not hold;
2: something could not be read, or a required level rests on a chain that could not be asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledger.endpoint import Endpoints
from ledger.errors import ChainUnavailable, LedgerError, VerificationError
from ledger.profiles import PROFILES
from ledger.receipt import LEVELS, Levels, verify_receipt
from ledger.trust import Trust, load_trust

REQUIRED = """levels that must be valid, with commas: {levels}. Default: inclusion,log_signature, and witnesses when
the trust file asks for any; with --rpc chain_header too, and chain_proof where the chain can prove its state. A level
that is invalid always fails."""


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["witness"]:
        from ledger import witness_service  # a service of its own, which the verifier does without

        return witness_service.main(words[1:])
    if words[:1] == ["fsck"]:
        from ledger import logdir

        return logdir.main(words[1:])
    parser = argparse.ArgumentParser(prog="python -m ledger", description="Check a receipt.")
    verify = parser.add_subparsers(dest="command", required=True).add_parser("verify", help="check a receipt's file")
    verify.add_argument("file", type=Path)
    verify.add_argument("--trust", type=Path, required=True, help="the space's signed trust file")
    verify.add_argument("--fingerprint", required=True,
                        help="of the regulator's root key, from outside the portal (SHA-256, hex)")
    verify.add_argument("--rpc", action="append", default=[], metavar="URL",
                        help="an endpoint of the chain to ask; of several all must answer and agree. "
                             "Without it nobody is asked")
    verify.add_argument("--require", type=_levels, metavar="LEVEL,...", help=REQUIRED.format(levels=", ".join(LEVELS)))
    given = parser.parse_args(words)
    try:
        trust = load_trust(given.trust, fingerprint=given.fingerprint)
        chain = Endpoints(trust, given.rpc) if given.rpc else None
        levels = verify_receipt(given.file.read_bytes(), trust, chain=chain)
    except OSError as trouble:
        print(f"cannot read: {trouble}", file=sys.stderr)
        return 2
    except LedgerError as trouble:
        print(f"invalid: {trouble}", file=sys.stderr)
        return 1
    return _tell(levels, given.require or (*levels.required, *(_of_chain(trust) if given.rpc else ())))


def _of_chain(trust: Trust) -> tuple[str, ...]:
    """What somebody who names an endpoint wants to know; a chain without proofs has only the endpoint's word."""
    known = PROFILES.get(trust.chain.profile)
    return ("chain_header",) if known and not known.proofs else LEVELS[4:]


def _levels(value: str) -> tuple[str, ...]:
    names = tuple(one.strip() for one in value.split(",") if one.strip())
    if not names or not set(names) <= set(LEVELS):
        raise argparse.ArgumentTypeError(f"levels are {', '.join(LEVELS)}")
    return names


def _tell(levels: Levels, required: tuple[str, ...]) -> int:
    for name, level in levels.as_dict().items():
        reason = levels.reasons.get(name, "")
        print(f"{name.replace('_', ' '):<14} {level}" + (f"  ({reason})" if reason else ""))
    try:
        levels.require(required)
    except ChainUnavailable:
        print("nothing is wrong with the receipt, but what the chain says is not known")
        return 2
    except VerificationError:
        print("the receipt does not hold: required are " + ", ".join(required))
        return 1
    print("the receipt holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())

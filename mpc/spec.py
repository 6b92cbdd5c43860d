"""What a JobSpec binds: session id, HPKE info, roster. Pure: no clock, no network, no keys.

The portal may import this; it therefore knows nothing of shares or functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from hashlib import sha256
from typing import Any

from ledger.documents import canonical
from mpc.ciphertext import PublicKey
from mpc.errors import ProtocolBroken, SpecRefused

ENGINE = "crypten/1"
PAILLIER = "paillier/1"
IDENTIFIER = "identifier"
MIN_PARTIES = 3
MAX_PARTIES = 16
MOST_ATTEMPTS = 2
_HEX32 = re.compile(r"[0-9a-f]{64}\Z")


def _hex32(value: str, name: str) -> str:
    if not isinstance(value, str) or not _HEX32.match(value):
        raise SpecRefused(f"{name} is not 32 bytes in lower-case hex")
    return value


def session_id(job_hash: str, attempt: int, verdict_hashes: Sequence[str], dealer_hash: str) -> str:
    """SHA-256 over the job, the attempt, every party's signed verdict and the dealer's: two parties that were shown
    different documents compute different ids and never meet."""
    if len(set(verdict_hashes)) != len(verdict_hashes):
        raise SpecRefused("a verdict is counted twice", code="spec.roster_mismatch")
    if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt < 1:
        raise SpecRefused("an attempt is a number from 1")
    body = {
        "type": "session", "version": 1, "job_hash": _hex32(job_hash, "job hash"), "attempt": attempt,
        "verdicts": sorted(_hex32(value, "verdict hash") for value in verdict_hashes),
        "dealer": _hex32(dealer_hash, "dealer hash"),
    }
    return sha256(canonical(body)).hexdigest()


def function_key(function: Mapping[str, Any]) -> str:
    """`name@version`, as catalogue and grants name a function."""
    return f"{function['name']}@{function['version']}"


def question_hash(spec: Mapping[str, Any]) -> str:
    """The same for two specs that would open the same thing under the same grants."""
    return sha256(canonical({name: spec[name] for name in ("function", "parameters", "filter", "inputs", "grants")})
                  ).hexdigest()


def hpke_info(*, space: str, job_hash: str, session: str, sender: str, recipient: str, recipient_key: str,
              gate_hash: str) -> bytes:
    """What a sealed share is bound to; one different byte and it does not open."""
    return canonical({
        "type": "xinglin/result", "version": 1, "space": space, "job_hash": job_hash, "session": session,
        "sender": sender, "recipient": recipient, "recipient_key": recipient_key, "gate_hash": gate_hash,
    })


def check_roster(spec: Mapping[str, Any], *, min_parties: int = MIN_PARTIES) -> None:
    """The roster is the providers of the inputs, in their order, all distinct, dealer and consumer apart."""
    inputs, roster = spec["inputs"], spec["roster"]
    datasets = [item["dataset"] for item in inputs]
    providers = [item["provider"] for item in inputs]
    problem = ""
    if datasets != sorted(set(datasets)):
        problem = "inputs are not sorted by dataset, each once"
    elif [grant["dataset"] for grant in spec["grants"]] != datasets:
        problem = "grants and inputs are not about the same datasets"
    elif [seat["participant"] for seat in roster] != providers:
        problem = "the roster is not the providers of the inputs"
    elif [seat["seat"] for seat in roster] != list(range(len(roster))):
        problem = "seats are not numbered from 0"
    elif len(set(providers)) != len(providers) or len({seat["signing"] for seat in roster}) != len(roster):
        problem = "an organisation sits twice"
    elif not min_parties <= len(roster) <= MAX_PARTIES:
        problem = f"{len(roster)} parties; from {min_parties} to {MAX_PARTIES} compute together"
    elif spec["dealer"]["participant"] in providers or spec["recipient"]["participant"] in providers:
        problem = "dealer and recipient may not sit among the parties"
    elif spec["dealer"]["participant"] == spec["recipient"]["participant"]:
        problem = "the dealer may not receive the result"
    if problem:
        raise SpecRefused(problem, code="spec.roster_mismatch")


def check_engine(spec: Mapping[str, Any]) -> None:
    if spec["engine"] not in (ENGINE, PAILLIER):
        raise SpecRefused(f"the engines are {ENGINE} and {PAILLIER}", code="spec.malformed")
    if are_apart(spec):
        _check_contributions(spec)


def are_apart(spec: Mapping[str, Any]) -> bool:
    """True of a job whose parties need not be online together: each contributes when it is awake."""
    return bool(spec["engine"] == PAILLIER)


def fewest(spec: Mapping[str, Any]) -> int:
    """How many organisations a result of this job is about, at least."""
    return int(spec["contributions"]["minimum"]) if are_apart(spec) else len(spec["roster"])


def _check_contributions(spec: Mapping[str, Any]) -> None:
    """The consumer's key is one, and no total is of fewer than would compute together."""
    try:
        PublicKey.read(spec["contributions"]["key"])
    except ProtocolBroken as error:
        raise SpecRefused(error.text, code="spec.malformed") from error
    if not MIN_PARTIES <= fewest(spec) <= len(spec["roster"]):
        raise SpecRefused(f"a total is of {MIN_PARTIES} contributors at least", code="spec.roster_mismatch")


def _exact(text: str) -> Fraction:
    try:
        return Fraction(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError, TypeError) as trouble:
        raise SpecRefused("a dictionary holds a bound that is no number", code="spec.parameters") from trouble


def common_columns(dictionaries: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The one dictionary of a job, from its datasets' in order of seats; node and SDK compute the same.

    A column stays if every dataset has it with one kind, unit and step; bounds widen to hold all, codes keep the first
    dataset's order and take in new ones in order of seats. Identifiers stay whoever has them, last: each hospital tells
    persons apart by its own, whatever the others call theirs.
    """
    if not dictionaries:
        return []
    others = [{column["name"]: column for column in one} for one in dictionaries[1:]]
    common = []
    for first in dictionaries[0]:
        same = [first, *(other[first["name"]] for other in others if first["name"] in other)]
        if len(same) == len(dictionaries) and all(_alike(first, column) for column in same):
            common.append(_merged(same))
    shared = {column["name"] for column in common}
    own = {column["name"]: dict(column) for one in dictionaries for column in one
           if column["kind"] == IDENTIFIER and column["name"] not in shared}
    return [*common, *own.values()]


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if (one["kind"], one["unit"]) != (other["kind"], other["unit"]):
        return False
    return one["kind"] != "number" or (
        None not in (one["step"], other["step"]) and _exact(one["step"]) == _exact(other["step"]))


def _merged(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged = dict(same[0])
    if merged["kind"] == "number":
        merged["min"] = min((column["min"] for column in same), key=_exact)
        merged["max"] = max((column["max"] for column in same), key=_exact)
    if merged["codes"] is not None:
        merged["codes"] = list(dict.fromkeys(code for column in same for code in column["codes"] or ()))
    return merged


def rows_max_total(records: Sequence[Mapping[str, Any]]) -> int:
    """How many rows all datasets of a job may hold together, by their records."""
    return sum(int(record["rows_max"]) for record in records)

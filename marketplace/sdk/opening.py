"""From verified evidence to a result: unseal with our key, add the shares of every member, finish the function.

1. `evidence.verify` has raised unless there is exactly one valid envelope of each member.
2. Each envelope opens only under our sealing key and the full info: space, job hash, session, sender, gate hash.
3. All parts must name the same gate key and the same masked numbers, and these must give the gate hash the members
   signed.
4. Which cells open, and their totals, are the sums of all shares; cells that stayed closed hold zeros and read as None.
5. Totals that no rows can have (`check_opened`) are refused: some party made its figures up.
6. The function's own `finish` makes rows of them, rounding once.

It may not reach the network, and opens nothing of a part of the roster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledger.documents import from_b64
from ledger.keys import KeyFile
from ledger.trust import Trust
from marketplace.sdk.apart import open_total, plan_of
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import EnvelopeError, Refused
from marketplace.sdk.evidence import Evidence, Verified, verify, verify_papers
from marketplace.sdk.keyring import Keyring
from marketplace.sdk.receipt import Receipt
from marketplace.sdk.result import Result
from mpc.catalog import CATALOG
from mpc.disclosure import open_result
from mpc.errors import NotOpenable
from mpc.functions.plan import Plan, check_opened
from mpc.functions.registry import function
from mpc.sharing import open_sealed
from mpc.spec import are_apart, common_columns, function_key, hpke_info


def open_evidence(evidence: Evidence, *, trust: Trust, keys: KeyFile, keyring: Keyring,
                  fetch_receipt: Callable[[], Receipt]) -> Result:
    """Verify everything, then open. Raises VerificationError; nothing is opened before all checks passed, and no total
    is shown that no rows can have."""
    if are_apart(evidence.spec["document"]):
        return _open_apart(evidence, trust=trust, keys=keys, keyring=keyring, fetch_receipt=fetch_receipt)
    held = verify(evidence, trust=trust, signing=keys.signing_public, sealing=keys.sealing_public)
    key = _known(held.spec)
    plan = plan_of(key, held.spec["parameters"], held.datasets)
    plains = [_unseal(envelope, held, trust=trust, keys=keys) for envelope in held.envelopes]
    try:
        pattern, totals = open_result(
            plains, parties=len(held.envelopes), session=held.session, gate_hash_hex=held.gate_hash, spans=plan.spans,
            limbs=plan.limbs,
        )
    except NotOpenable as error:
        raise EnvelopeError(error.text, code="envelope.invalid") from error
    members = [envelope["sender"] for envelope in held.envelopes]
    return _result(held.spec, held.datasets, plan, pattern=pattern, totals=totals, contributors=members,
                   fetch_receipt=fetch_receipt)


def _open_apart(evidence: Evidence, *, trust: Trust, keys: KeyFile, keyring: Keyring,
                fetch_receipt: Callable[[], Receipt]) -> Result:
    """The same for hospitals that were not online together: the one total of the set that was frozen."""
    papers = verify_papers(evidence, trust=trust, signing=keys.signing_public, sealing=keys.sealing_public)
    plan = plan_of(_known(papers.spec), papers.spec["parameters"], papers.datasets)
    pattern, totals, members = open_total(evidence, papers, plan, space=trust.space_id, keys=keys, keyring=keyring)
    return _result(papers.spec, papers.datasets, plan, pattern=pattern, totals=totals, contributors=members,
                   fetch_receipt=fetch_receipt)


def _known(spec: Mapping[str, Any]) -> str:
    """The function's key, if the job was run with the code that is here."""
    key = function_key(spec["function"])
    if key not in CATALOG or CATALOG[key].digest != spec["function"]["digest"]:
        raise Refused(f"this SDK has other code of {key} than the job was run with", code="function.unknown")
    return key


def _result(spec: Mapping[str, Any], datasets: Sequence[Mapping[str, Any]], plan: Plan, *, pattern: Sequence[bool],
            totals: Sequence[int], contributors: Sequence[str], fetch_receipt: Callable[[], Receipt]) -> Result:
    try:
        check_opened(plan, tuple(pattern), totals)
    except NotOpenable as error:
        raise EnvelopeError(error.text, code="envelope.impossible") from error
    with our_errors():
        finished = function(plan.function).finish(totals, tuple(pattern), plan)
    return Result(
        job=spec["id"],
        function=plan.function,
        parameters=spec["parameters"],
        columns=common_columns([dataset["columns"] for dataset in datasets]),
        finished=finished,
        pattern=pattern,
        floor=spec["disclosure"]["floor"],
        contributors=contributors,
        fetch_receipt=fetch_receipt,
        only=spec["filter"],
    )


def _unseal(envelope: Mapping[str, Any], held: Verified, *, trust: Trust, keys: KeyFile) -> bytes:
    info = hpke_info(
        space=trust.space_id,
        job_hash=held.job_hash,
        session=held.session,
        sender=envelope["sender"],
        recipient=envelope["recipient"],
        recipient_key=envelope["recipient_key"],
        gate_hash=envelope["gate_hash"],
    )
    try:
        with our_errors():
            sealed = from_b64(envelope["sealed"], "/sealed")
        return open_sealed(sealed, private=keys.sealing, info=info)
    except NotOpenable as error:
        raise EnvelopeError(f"seat {envelope['seat']}: {error.text}", code="envelope.invalid") from error

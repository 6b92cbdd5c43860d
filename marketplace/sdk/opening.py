"""From verified evidence to a result: unseal with our key, add the shares of every member, finish the function.

1. `evidence.verify` has raised unless there is exactly one valid envelope of each member.
2. Each envelope opens only under our sealing key and the full info: space, job hash, session, sender, gate hash.
3. All parts must name the same pattern and gate key, and these must give the gate hash the members signed.
4. The totals are the sums of all shares; cells that stayed closed hold zeros and read as None.
5. The function's own `finish` makes rows of them, rounding once.

It may not reach the network, and opens nothing of a part of the roster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledger.documents import from_b64
from ledger.keys import KeyFile
from ledger.trust import Trust
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import EnvelopeError, Refused
from marketplace.sdk.evidence import Evidence, Verified, verify
from marketplace.sdk.receipt import Receipt
from marketplace.sdk.result import Result
from mpc.catalog import CATALOG
from mpc.disclosure import open_result
from mpc.errors import NotOpenable
from mpc.functions.plan import Plan
from mpc.functions.registry import function
from mpc.sharing import open_sealed
from mpc.spec import common_columns, hpke_info, rows_max_total


def open_evidence(evidence: Evidence, *, trust: Trust, keys: KeyFile,
                  fetch_receipt: Callable[[], Receipt]) -> Result:
    """Verify everything, then open. Raises VerificationError; nothing is opened before all checks passed."""
    held = verify(evidence, trust=trust, signing=keys.signing_public, sealing=keys.sealing_public)
    key = f"{held.spec['function']['name']}@{held.spec['function']['version']}"
    if key not in CATALOG or CATALOG[key].digest != held.spec["function"]["digest"]:
        raise Refused(f"this SDK has other code of {key} than the job was run with", code="function.unknown")
    plan, columns = _plan(held, key)
    plains = [_unseal(envelope, held, trust=trust, keys=keys) for envelope in held.envelopes]
    try:
        pattern, totals = open_result(
            plains, parties=len(held.envelopes), session=held.session, gate_hash_hex=held.gate_hash, spans=plan.spans
        )
    except NotOpenable as error:
        raise EnvelopeError(error.text, code="envelope.invalid") from error
    with our_errors():
        finished = function(key).finish(totals, pattern, plan)
    return Result(
        job=evidence.job,
        function=key,
        parameters=held.spec["parameters"],
        columns=columns,
        finished=finished,
        pattern=pattern,
        floor=held.spec["disclosure"]["floor"],
        parties=len(held.envelopes),
        fetch_receipt=fetch_receipt,
    )


def _plan(held: Verified, key: str) -> tuple[Plan, Sequence[Mapping[str, Any]]]:
    """The same plan the members made: from the datasets' descriptions in the order of seats."""
    with our_errors():
        columns = common_columns([dataset["columns"] for dataset in held.datasets])
        parameters: Mapping[str, Any] = held.spec["parameters"]
        plan = function(key).plan(parameters, columns, len(held.datasets), rows_max_total(held.datasets))
    return plan, columns


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

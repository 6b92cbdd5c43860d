"""Two things the demo tries that must not work, each done for real; answers who refused, and with which code."""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from deploy import environment
from deploy.commands import Command
from deploy.space import Space
from ledger.documents import signed
from marketplace.sdk import Space as Client
from marketplace.sdk import fn, orders
from marketplace.sdk.desk import Desk
from marketplace.sdk.errors import JobFailed, Refused
from marketplace.sdk.fn import Call
from marketplace.sdk.types import Grant, Product

GRANTED = fn.describe(["age"], by="sex")
NOT_GRANTED = fn.crosstab(rows="chest_pain", columns="sex")
AFTERWARDS = fn.describe(["st_depression"], by=None)


class NotRefused(RuntimeError):
    """What had to be refused was not."""


def outside_grant(space: Space, client: Client, product: Product, grants: Sequence[Grant]) -> dict[str, str]:
    """A spec for a function that its grants do not name, handed straight to a hospital's node.

    The portal would refuse it, so it never sees it: the papers are those that it would have sent.
    """
    agreement = client._agreement(product, grants)
    spec = _spec(client, product, grants, agreement, GRANTED)
    spec["function"] = NOT_GRANTED.reference()
    spec["parameters"] = dict(NOT_GRANTED.parameters)
    members = {given["provider"] for given in spec["inputs"]} | {client.keys.participant, agreement["provider"]}
    answers = [client.door.get(f"/grants/{grant.id}") for grant in grants]
    item = {
        "kind": "check",
        "job": spec["id"],
        "attempt": 1,
        "spec": signed(spec, client.keys.signing),
        "agreement": client.door.get(f"/agreements/{agreement['id']}")["document"],
        "grants": [{name: answer[name] for name in ("terms", "approval", "consent")} for answer in answers],
        "participants": [client.catalogue.participant_wire(one) for one in sorted(members)],
        "datasets": [client.catalogue.dataset_wire(given["dataset"]) for given in spec["inputs"]],
    }
    verdict = _hand_to_node(space, item)
    if verdict["decision"] != "refuse":
        raise NotRefused(f"a node answered {verdict['decision']} to a spec outside its grant")
    return {"case": "outside_grant", "code": verdict["code"], "by": "node"}


def _hand_to_node(space: Space, item: dict[str, Any]) -> dict[str, Any]:
    """`xinglin-node check` of one hospital, at its own home: the same checks as for a job from the portal."""
    hospital = space.cast.hospitals[0]
    file = space.places.consumer / "outside-grant.json"
    environment.write_private(file, json.dumps(item, ensure_ascii=False))
    home = str(space.homes[hospital.key].home)
    command = environment.python("-m", "mpc.node", "check", "--home", home, "--work", str(file))
    answer = json.loads(Command("check", command, environment.node(), space.places.logs).finish())
    verdict: dict[str, Any] = answer["document"]
    return verdict


def after_revocation(
    space: Space, client: Client, product: Product, grants: Sequence[Grant], regulator: Desk
) -> dict[str, str]:
    """The commission revokes one grant; the device maker sends a job that was in order until then."""
    agreement = client._agreement(product, grants)
    spec = _spec(client, product, grants, agreement, AFTERWARDS)
    regulator.revoke(grants[0].id, reason="The demonstration's purpose has ended.")
    try:
        answer = client.portal.post("/jobs", {"spec": signed(spec, client.keys.signing)}, idempotency_key=str(uuid4()))
    except Refused as refusal:
        return {"case": "revoked", "code": refusal.code, "by": "portal"}
    try:
        client.job(answer["id"]).wait(seconds=60)
    except JobFailed as refusal:
        return {"case": "revoked", "code": str(refusal.reason), "by": "node"}
    raise NotRefused("a job ran although a grant of it was revoked")


def _spec(
    client: Client, product: Product, grants: Sequence[Grant], agreement: dict[str, Any], call: Call
) -> dict[str, Any]:
    inputs = client.catalogue.product_inputs(product)
    return orders.new_job_spec(
        agreement=agreement,
        grants=sorted(grants, key=lambda grant: grant.dataset),
        call=call,
        inputs=inputs,
        members={dataset.provider: client.catalogue.participant(dataset.provider) for dataset in inputs},
        trust=client.trust,
        recipient={"participant": client.keys.participant, "sealing": client.keys.sealing_public},
        now=datetime.now(UTC),
        nonce=secrets.token_hex(32),
    )

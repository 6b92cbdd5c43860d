"""What waits for a reader's organisation, and what it waits for from others. Only questions to the areas' queries.

Acts are done by command line at the reader's own office, so each item carries the command that does it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dataspace.actor import Actor
from dataspace.grants.queries import grants_for
from dataspace.grants.states import State as GrantState
from dataspace.participants.queries import participants_for
from dataspace.participants.states import State as ParticipantState
from dataspace.scenarios.queries import scenarios_for
from dataspace.scenarios.states import State as ScenarioState
from marketplace.agreements.queries import agreements_for
from marketplace.agreements.states import State as AgreementState
from marketplace.jobs.models import Job
from marketplace.jobs.queries import jobs_for
from marketplace.jobs.states import OPEN
from marketplace.jobs.states import State as JobState
from marketplace.products.queries import products_for
from marketplace.products.states import State as ProductState

Text = str | Promise
LATEST = 20


@dataclass(frozen=True)
class Item:
    """One thing to do: a verb and its object, why, since when, and the command."""

    icon: str
    verb: Text
    row: object
    field: str
    url: str
    why: Text
    since: datetime | None = None
    command: str = ""
    owner: object | None = None


def for_me(actor: Actor) -> list[Item]:
    """What this organisation's people should do, oldest first."""
    items = [*_regulator(actor), *_provider(actor), *_consumer(actor)]
    return sorted(items, key=lambda item: item.since.timestamp() if item.since else 0.0)


def count_for(actor: Actor) -> int:
    """How many things wait; the figure in the sidebar."""
    return len(for_me(actor))


def _regulator(actor: Actor) -> Iterator[Item]:
    if not actor.is_regulator:
        return
    for participant in participants_for(actor).filter(state=ParticipantState.APPLIED)[:LATEST]:
        yield Item(
            "building-hospital",
            _("Admit"),
            participant,
            "name",
            reverse("participant", args=[participant.pk]),
            _("It made its own keys. Confirm the fingerprint with it outside this portal."),
            participant.created_at,
            f"xinglin-node admit {participant.pk} --fingerprint …",
        )
    for scenario in scenarios_for(actor).filter(state=ScenarioState.SUBMITTED)[:LATEST]:
        yield Item(
            "scale",
            _("Decide"),
            scenario,
            "title",
            reverse("scenario", args=[scenario.pk]),
            _("A scenario was submitted. Approving signs one grant for each dataset."),
            scenario.submitted_at,
            f"xinglin-node approve {scenario.pk}",
        )
    for product in products_for(actor).filter(state=ProductState.IN_REVIEW)[:LATEST]:
        yield Item(
            "building-store",
            _("Review the listing"),
            product,
            "title",
            reverse("product", args=[product.pk]),
            _("All its providers have confirmed."),
            product.created_at,
            f"xinglin-node list {product.pk}",
        )


def _provider(actor: Actor) -> Iterator[Item]:
    me = actor.participant_id
    if me is None or "provider" not in actor.admitted_as:
        return
    for grant in grants_for(actor).filter(custodian_id=me, state=GrantState.SUBMITTED)[:LATEST]:
        yield Item(
            "writing-sign",
            _("Consent"),
            grant.scenario,
            "title",
            reverse("scenario", args=[grant.scenario_id]),
            _("The regulator approved it. Nothing is computed without your own signature."),
            grant.created_at,
            f"xinglin-node consent {grant.pk}",
        )
    drafts = products_for(actor).filter(state=ProductState.DRAFT, datasets__provider_id=me)
    for product in drafts.exclude(confirmations__participant_id=me).distinct()[:LATEST]:
        yield Item(
            "building-store",
            _("Confirm"),
            product,
            "title",
            reverse("product", args=[product.pk]),
            _("A product is drafted that includes your dataset."),
            product.created_at,
            f"xinglin-node confirm {product.pk}",
        )
    for agreement in agreements_for(actor).filter(provider_id=me, state=AgreementState.OFFERED)[:LATEST]:
        yield Item(
            "writing-sign",
            _("Sign the agreement"),
            agreement.product,
            "title",
            reverse("product", args=[agreement.product_id]),
            _("An enterprise offered an agreement. Your node signs it if its policy says so."),
            agreement.created_at,
        )
    held = Q(state__in=OPEN, verdicts__participant_id=me, verdicts__decision="hold")
    for job in jobs_for(actor).filter(held).distinct()[:LATEST]:
        why = _("Your own policy asks that a person looks at it first.")
        yield _about("hand-stop", _("Held at your node"), job, why)
    collecting = jobs_for(actor).filter(
        state=JobState.COLLECTING, parties__participant_id=me, parties__left_out=""
    )
    for job in collecting.exclude(contributions__participant_id=me).exclude(verdicts__participant_id=me)[:LATEST]:
        why = _("Your node has not asked for work since; it contributes by itself once it is awake.")
        yield _about("users", _("Let your node contribute"), job, why)


def _about(icon: str, verb: Text, job: Job, why: Text, *, since: datetime | None = None, command: str = "") -> Item:
    """Something to do about a job; it goes by its product's title."""
    url = reverse("job", args=[job.pk])
    return Item(icon, verb, job.agreement.product, "title", url, why, since or job.created_at, command)


def _consumer(actor: Actor) -> Iterator[Item]:
    if not actor.admitted_as & {"consumer", "service_firm"}:
        return
    mine = scenarios_for(actor).filter(consumer_id=actor.participant_id)
    for scenario in mine.filter(state__in=[ScenarioState.DRAFT, ScenarioState.RETURNED])[:LATEST]:
        returned = scenario.state == ScenarioState.RETURNED
        yield Item(
            "arrow-back-up" if returned else "pencil",
            _("Revise") if returned else _("Submit"),
            scenario,
            "title",
            reverse("scenario", args=[scenario.pk]),
            _("The regulator sent it back.") if returned else _("It is signed but not submitted."),
            scenario.decided_at or scenario.created_at,
        )
    for job in jobs_for(actor).filter(consumer_id=actor.participant_id, state=JobState.RELEASED)[:5]:
        why = _("Sealed to your key: only your own computer opens it.")
        yield _about("lock-open", _("Open the result"), job, why, since=job.ended_at, command=f"xinglin open {job.pk}")


def for_others(actor: Actor) -> list[Item]:
    """What this reader's affairs wait for elsewhere; `owner` must act."""
    items: list[Item] = []
    for grant in grants_for(actor).filter(state=GrantState.SUBMITTED)[:LATEST]:
        if grant.custodian_id != actor.participant_id:
            url = reverse("scenario", args=[grant.scenario_id])
            why = _("The custodian has not signed its consent yet.")
            items.append(
                Item("writing-sign", "", grant.scenario, "title", url, why, grant.created_at, owner=grant.custodian)
            )
    for scenario in scenarios_for(actor).filter(state__in=[ScenarioState.SUBMITTED, ScenarioState.RETURNED])[:LATEST]:
        url = reverse("scenario", args=[scenario.pk])
        if scenario.state == ScenarioState.RETURNED and scenario.consumer_id != actor.participant_id:
            why = _("Sent back to the consumer.")
            items.append(Item("arrow-back-up", "", scenario, "title", url, why, owner=scenario.consumer))
        elif scenario.state == ScenarioState.SUBMITTED and not actor.is_regulator:
            items.append(Item("scale", "", scenario, "title", url, _("The regulator decides.")))
    for job in jobs_for(actor).filter(state__in=OPEN)[:LATEST]:
        items.append(_about("cpu", "", job, _("The parties are at it; it ends by its deadline at the latest.")))
    return items

"""Opening: everything is checked before anything is opened; each lie has its own code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from ledger.documents import document_hash, signed
from marketplace.sdk import EnvelopeError, JobFailed, TimedOut, VerificationError, fn
from marketplace.sdk.job import Job
from mpc.disclosure import Opening, Pattern, told_of
from mpc.engines.cleartext import CleartextEngine, withhold
from mpc.sharing import Integers, Limbs, limbs
from tests.unit.sdk.world import HOSPITALS, World, rows_of

Spans = Sequence[Sequence[int]]


def test_it_works(released: Job) -> None:
    result = released.wait(seconds=5)

    table = result.frame
    assert table.loc["F", "1"] == 15
    assert table.loc["F", "0"] == 15
    assert table.loc["F", "total"] == 30
    assert table.isna().loc["M", "0"], "its pair took it along"
    assert table["1"].isna()["M"]
    assert table.isna().loc["M", "total"]
    assert table.isna().loc["total", "total"]
    assert result.withheld == 4
    assert result.missing == {"sex": None, "grade": None}
    assert result.parties == 3


def test_describe_opens_too(world: World) -> None:
    job = world.space().buy(world.product_id, fn.describe(["age"], by="sex"))
    world.compute(job.id)

    result = job.wait(seconds=5)

    assert list(result.frame.index) == ["F", "M"]
    assert result.frame.loc["F", "n"] == 27
    assert result.frame.loc["M", "age.mean"] == pytest.approx(40.0)
    assert result.missing == {"age": None, "sex": None}


def test_a_result_says_which_rows_it_is_about(world: World, released: Job) -> None:
    """A table over a part of the patients must not be read as one over all."""
    everybody = released.wait(seconds=5)
    job = world.space().buy(world.product_id, fn.describe(["age"], where=fn.column("grade") == "1"))
    world.compute(job.id)
    result = job.wait(seconds=5)

    assert result.filter == {"op": "eq", "column": "grade", "value": "1"}
    assert result.where() == "grade = 1"
    assert result.where("zh") == "grade = 1"
    assert "only rows where grade = 1" in repr(result)
    assert [row["n"] for row in result.rows] == [sum(row["grade"] == "1" and row["age"] != "" for hospital in range(3)
                                                     for row in rows_of(hospital))]
    assert (everybody.filter, everybody.where()) == (None, "")
    assert "only rows" not in repr(everybody)


def test_it_opens_again_without_the_portal(world: World, released: Job) -> None:
    first = released.wait(seconds=5)
    _ = first.receipt
    world.portal.down = True

    again = world.space().open_result(released.id)

    assert again.frame.equals(first.frame)
    assert again.receipt.verify().inclusion == "valid"


def test_a_changed_cache_is_refused(world: World, released: Job) -> None:
    released.wait(seconds=5)
    space = world.space()
    path = space.cache.job(released.id)
    kept = space.cache.read(path)
    kept["envelopes"] = kept["envelopes"][:-1]
    space.cache.write(path, kept)

    with pytest.raises(EnvelopeError) as refused:
        space.open_result(released.id)
    assert refused.value.code == "envelope.missing"


def _drop(world: World, job: dict[str, Any]) -> None:
    del job["envelopes"][1]


def _double(world: World, job: dict[str, Any]) -> None:
    job["envelopes"].append(copy.deepcopy(job["envelopes"][0]))


def _flip(world: World, job: dict[str, Any]) -> None:
    sealed = job["envelopes"][1]["document"]["sealed"]
    job["envelopes"][1]["document"]["sealed"] = ("B" if sealed[0] == "A" else "A") + sealed[1:]


def _forge(world: World, job: dict[str, Any]) -> None:
    """Another hospital's envelope, signed by somebody who has a key but not that seat."""
    document = job["envelopes"][1]["document"]
    job["envelopes"][1] = signed(document, world.keys["dealer"].signing)


def _replace(world: World, job: dict[str, Any]) -> None:
    """Hospital 1 itself seals other shares, in the right session: the parts do not fit together."""
    old = job["envelopes"][1]["document"]
    spec = job["spec"]["document"]
    opening = Opening(1, 5, bytes(32), bytes(32), limbs([7] * 12), told_of([(at,) for at in range(6)]))
    name = world.name_of(spec["roster"][1]["participant"])
    job["envelopes"][1] = world.envelope(spec, name, 1, old["session"], old["gate_hash"], opening)


def _other_session(world: World, job: dict[str, Any]) -> None:
    document = job["envelopes"][2]["document"] | {"session": "ab" * 32}
    name = world.name_of(document["sender"])
    job["envelopes"][2] = signed(document, world.keys[name].signing)


def _other_gate(world: World, job: dict[str, Any]) -> None:
    document = job["envelopes"][2]["document"] | {"gate_hash": "ab" * 32}
    name = world.name_of(document["sender"])
    job["envelopes"][2] = signed(document, world.keys[name].signing)


def _other_verdict(world: World, job: dict[str, Any]) -> None:
    """One verdict exchanged for another true one of the same hospital: the session id no longer follows."""
    document = job["verdicts"][0]["document"] | {"grant_block": 8}
    name = world.name_of(document["participant"])
    job["verdicts"][0] = signed(document, world.keys[name].signing)


@pytest.mark.parametrize(("lie", "code"), [
    (_drop, "envelope.missing"),
    (_double, "envelope.invalid"),
    (_flip, "envelope.invalid"),
    (_forge, "envelope.invalid"),
    (_replace, "envelope.invalid"),
    (_other_session, "envelope.session"),
    (_other_gate, "envelope.session"),
    (_other_verdict, "envelope.session"),
])
def test_an_envelope_that_lies_opens_nothing(
    world: World, released: Job, lie: Callable[[World, dict[str, Any]], None], code: str
) -> None:
    lie(world, world.job(released.id))

    with pytest.raises(EnvelopeError) as refused:
        released.wait(seconds=5)
    assert refused.value.code == code


def test_a_share_of_a_closed_cell_turned_when_it_is_sealed_opens_nothing(
        world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell would read as open, with a count of 0."""
    def turned(shares: Limbs, pattern: Pattern, spans: Spans, *, first: bool) -> Limbs:
        kept = withhold(shares, pattern, spans, first=first)
        if first:
            kept[pattern.index(False), 0] += np.uint64(1)
        return kept

    monkeypatch.setattr("tests.unit.sdk.world.withhold", turned)
    job = world.space().buy(world.product_id, fn.crosstab(rows="sex", columns="grade"))
    world.compute(job.id)
    with pytest.raises(EnvelopeError, match="under the floor") as refused:
        job.wait(seconds=5)
    assert refused.value.code == "envelope.invalid"


@pytest.mark.parametrize("lie", [-(2**40), -10_000, 2**40])
def test_figures_that_no_rows_can_have_are_not_shown(
        world: World, monkeypatch: pytest.MonkeyPatch, lie: int) -> None:
    """A hospital adds to its share of a sum of squares: n S2 < S1^2 had no root, and read as the buyer's own fault."""
    honest = CleartextEngine.share_total

    def lying(engine: CleartextEngine, values: Integers, wide: int) -> Limbs:
        given = [int(value) for value in values]
        given[-1] += lie if engine.seat == 1 else 0
        return honest(engine, given, wide)

    monkeypatch.setattr(CleartextEngine, "share_total", lying)
    job = world.space().buy(world.product_id, fn.describe(["age"], by="sex"))
    world.compute(job.id)
    with pytest.raises(EnvelopeError, match="a party's figures are impossible") as refused:
        job.wait(seconds=5)
    assert refused.value.code == "envelope.impossible"


def test_a_verdict_that_refused_opens_nothing(world: World, released: Job) -> None:
    job = world.job(released.id)
    name = world.name_of(job["spec"]["document"]["roster"][0]["participant"])
    job["verdicts"][0] = world.verdict(released.id, name, 0, decision="refuse", code="policy.denied", session=None)

    with pytest.raises(VerificationError) as refused:
        released.wait(seconds=5)
    assert refused.value.code == "verdict.invalid"


def test_a_verdict_missing_opens_nothing(world: World, released: Job) -> None:
    world.job(released.id)["verdicts"].pop()

    with pytest.raises(VerificationError) as refused:
        released.wait(seconds=5)
    assert refused.value.code == "verdict.missing"


def test_a_spec_altered_after_signing_is_refused(world: World, released: Job) -> None:
    world.job(released.id)["spec"]["document"]["parameters"]["rows"] = "grade"

    with pytest.raises(VerificationError) as refused:
        released.wait(seconds=5)
    assert refused.value.code == "signature.invalid"


def test_another_job_of_ours_in_its_place_is_refused(world: World, released: Job) -> None:
    other = world.space().buy(world.product_id, fn.describe(["age"], by="sex"))
    world.compute(other.id)
    jobs = world.portal.shelves["jobs"]
    jobs[released.id] = jobs[other.id]

    for opening in (lambda: released.wait(seconds=5), lambda: world.space().open_result(released.id)):
        with pytest.raises(VerificationError) as refused:
            opening()
        assert refused.value.code == "record.wrong"


def test_a_cached_job_under_another_name_is_refused(world: World, released: Job) -> None:
    released.wait(seconds=5)
    other = world.space().buy(world.product_id, fn.describe(["age"], by="sex"))
    cache = world.space().cache
    cache.write(cache.job(other.id), cache.read(cache.job(released.id)))

    with pytest.raises(VerificationError) as refused:
        world.space().open_result(other.id)
    assert refused.value.code == "record.wrong"


def test_a_participant_swapped_by_the_portal_is_refused(world: World, released: Job) -> None:
    victim, thief = (world.keys[name] for name in HOSPITALS[:2])
    record = world.portal.shelves["participants"][victim.participant]["record"]["document"]
    swapped = copy.deepcopy(record)
    swapped["keys"]["signing"] = thief.signing_public
    world.portal.shelves["participants"][victim.participant]["record"] |= signed(swapped, thief.signing)

    with pytest.raises(VerificationError) as refused:
        world.space().open_result(released.id)
    assert refused.value.code == "signature.missing"


def test_a_dataset_described_otherwise_is_refused(world: World, released: Job) -> None:
    dataset = world.portal.shelves["datasets"][world.job(released.id)["spec"]["document"]["inputs"][0]["dataset"]]
    document = dataset["record"]["document"] | {"rows_max": 100}
    dataset["record"] = signed(document, world.keys[world.name_of(document["provider"])].signing)
    assert document_hash(document) != world.job(released.id)["spec"]["document"]["inputs"][0]["dataset_hash"]

    with pytest.raises(VerificationError) as refused:
        world.space().open_result(released.id)
    assert refused.value.code == "dataset.changed"


@pytest.mark.parametrize("state", ["refused", "failed", "cancelled", "expired"])
def test_a_job_that_ended_badly_has_no_result(world: World, job: Job, state: str) -> None:
    world.job(job.id).update(state=state, code="grant.revoked", about=None)

    with pytest.raises(JobFailed) as failed:
        job.wait(seconds=5)
    assert failed.value.code == f"job.{state}"
    assert failed.value.reason == "grant.revoked"


def test_waiting_ends_at_its_deadline(job: Job) -> None:
    with pytest.raises(TimedOut) as late:
        job.wait(seconds=0.3)
    assert late.value.code == "job.timeout"


def test_progress_is_told_once_a_state(world: World, released: Job) -> None:
    seen: list[str] = []
    released.wait(seconds=5, progress=lambda step: seen.append(step.state))
    assert seen == ["released"]

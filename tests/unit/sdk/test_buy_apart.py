"""Hospitals that are not online together: the order says so, and of what the portal passes on nothing is believed."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.documents import document_hash, from_b64, new_document, signed, to_b64
from marketplace.sdk import ConfigurationError, EnvelopeError, Refused, VerificationError, fn
from marketplace.sdk import __main__ as command_line
from marketplace.sdk.apart import plan_of
from marketplace.sdk.job import Job
from mpc import ciphertext, masked, paillier
from mpc.ciphertext import PublicKey
from mpc.functions.registry import function
from tests.unit.sdk.world import FLOOR, HOSPITALS, World

CALL = fn.crosstab(rows="sex", columns="grade")


@dataclass
class Made:
    """A world in which such a job was ordered and computed once; every test begins with it as it was then."""

    world: World
    job: str
    shelves: dict[str, Any]
    key: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marketplace.sdk.apart.KEY_BITS", 2048)
        world = World(tmp_path_factory.mktemp("apart"))
        job = buy(world)
        compute(world, job.id)
        yield Made(world, job.id, copy.deepcopy(world.portal.shelves), key_file(world, job.id).read_text())


@pytest.fixture
def world(made: Made) -> World:
    world = made.world
    world.portal.shelves, world.portal.down = copy.deepcopy(made.shelves), False
    world.portal.posted.clear()
    shutil.rmtree(world.folder / "cache" / "jobs", ignore_errors=True)
    path = key_file(world, made.job)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(made.key)
    return world


@pytest.fixture
def released(world: World, made: Made) -> Job:
    return world.space().job(made.job)


def key_file(world: World, job_id: str) -> Path:
    key = world.job(job_id)["spec"]["document"]["contributions"]["key"]
    return world.space().keyring.path(PublicKey.read(key))


def buy(world: World, key: str = "k1", **other: Any) -> Job:
    how: dict[str, Any] = {"engine": "paillier", "contribute_until": timedelta(hours=8), **other}
    return world.space().buy(world.product_id, CALL, idempotency_key=key, **how)


def compute(world: World, job_id: str) -> None:
    """Play the hospitals, the dealer's office and the portal."""
    job = world.job(job_id)
    spec = job["spec"]["document"]
    datasets = [world.portal.shelves["datasets"][one["dataset"]]["record"]["document"] for one in spec["inputs"]]
    plan = plan_of("crosstab@1", spec["parameters"], datasets)
    question = masked.question_of(spec, plan, space=world.trust.space_id)
    parts = []
    for seat in spec["roster"]:
        name = world.name_of(seat["participant"])
        counted = function("crosstab@1").local(world._rows(HOSPITALS.index(name), plan), plan)
        parcel = masked.contribute(question, plan, counted, FLOOR, participant=seat["participant"],
                                   dealer_key=world.keys["dealer"].sealing_public)
        document = new_document(
            "contribution", job=job_id, job_hash=document_hash(spec), participant=seat["participant"],
            seat=seat["seat"], question=question.hash, dealer_key=world.keys["dealer"].sealing_public,
            ciphertexts=ciphertext.hash_of(parcel.ciphertexts), seed=to_b64(parcel.seed), engine={"paillier": "1"})
        parts.append({"contribution": signed(document, world.keys[name].signing),
                      "ciphertexts": to_b64(parcel.ciphertexts)})
    documents = masked.check_set(question, spec, [one["contribution"] for one in parts])
    masks = masked.masks_total(question, documents, sealing=world.keys["dealer"].sealing,
                               recipient_key=spec["recipient"]["sealing"])
    frozen = new_document(
        "frozen_set", job=job_id, job_hash=document_hash(spec), participant=world.keys["dealer"].participant,
        question=question.hash, members=masked.members_of(documents), recipient=spec["recipient"]["participant"],
        recipient_key=spec["recipient"]["sealing"], masks=to_b64(masks))
    product = masked.product(question, documents, [from_b64(one["ciphertexts"]) for one in parts])
    job.update(
        state="released", contributions={"given": [{"seat": at} for at in range(len(parts))]}, parts=parts,
        total={"frozen": signed(frozen, world.keys["dealer"].signing),
               "product": to_b64(ciphertext.to_bytes(question.public, product))})
    world.release(job_id)
    before = world.portal.get

    def get(path: str) -> Any:
        _, kind, *rest = path.split("/")
        if kind == "jobs" and rest[1:] == ["total"]:
            return world.job(rest[0])["total"]
        if kind == "jobs" and rest[1:2] == ["contributions"]:
            return world.job(rest[0])["parts"][int(rest[2])]
        return before(path)

    world.portal.get = get  # type: ignore[method-assign]


def test_it_works(world: World, released: Job) -> None:
    spec = world.job(released.id)["spec"]["document"]
    assert (spec["engine"], spec["contributions"]["minimum"]) == ("paillier/1", 3)
    seen: list[Any] = []
    result = released.wait(seconds=5, progress=seen.append)
    assert [(one.state, one.contributed) for one in seen] == [("released", 3)]
    assert result.frame.loc["F", "1"] == 15
    assert result.frame.loc["F", "0"] == 15
    assert result.frame.isna().loc["M", "0"], "some hospital's own few keep the pair closed"
    assert result.contributors == tuple(seat["participant"] for seat in spec["roster"])
    assert result.receipt.verify().inclusion == "valid"
    world.portal.down = True
    assert world.space().open_result(released.id).frame.equals(result.frame)


def test_the_key_is_ours_alone_and_of_this_order_alone(world: World, released: Job) -> None:
    path = key_file(world, released.id)
    assert buy(world).id == released.id
    assert list(path.parent.iterdir()) == [path], "the same order again makes no other key"
    another = key_file(world, buy(world, "k2").id)
    assert stat.S_IMODE(another.stat().st_mode) == 0o600
    sent = str(world.portal.posted)
    assert not any(secret in sent for secret in json.loads(another.read_text()).values() if len(secret) < 500)
    another.unlink()


@pytest.mark.parametrize("damage", ["gone", "open", "other"])
def test_without_its_key_the_total_stays_closed(world: World, released: Job, damage: str) -> None:
    path = key_file(world, released.id)
    if damage == "gone":
        path.unlink()
    elif damage == "open":
        path.chmod(0o644)
    else:
        path.write_text(paillier.generate(2048).to_text())
    with pytest.raises(ConfigurationError):
        released.wait(seconds=5)


def _other_ciphertexts(world: World, job: dict[str, Any]) -> None:
    first, second = job["parts"][:2]
    first["ciphertexts"], second["ciphertexts"] = second["ciphertexts"], second["ciphertexts"]


def _other_product(world: World, job: dict[str, Any]) -> None:
    job["total"]["product"] = job["parts"][0]["ciphertexts"]


def _one_left_out(world: World, job: dict[str, Any]) -> None:
    """The dealer's word is about three: a portal that shows two opens nothing."""
    job["total"]["frozen"]["document"]["members"].pop()


def _frozen_by_another(world: World, job: dict[str, Any]) -> None:
    job["total"]["frozen"] = signed(job["total"]["frozen"]["document"], world.keys["office"].signing)


def _signed_by_another(world: World, job: dict[str, Any]) -> None:
    wire = job["parts"][0]["contribution"]
    job["parts"][0]["contribution"] = signed(wire["document"], world.keys["office"].signing)


def _of_another_job(world: World, job: dict[str, Any]) -> None:
    document = job["parts"][0]["contribution"]["document"] | {"question": "ab" * 32}
    name = world.name_of(document["participant"])
    job["parts"][0]["contribution"] = signed(document, world.keys[name].signing)


def _no_frozen_set(world: World, job: dict[str, Any]) -> None:
    job["total"] = {"frozen": {"document": {}}, "product": ""}


def _nothing(world: World, job: dict[str, Any]) -> None:
    job["total"] = None


def _a_part_of_another_form(world: World, job: dict[str, Any]) -> None:
    job["parts"][0] = {"contribution": job["parts"][0]["contribution"]}


def _a_list_for_a_part(world: World, job: dict[str, Any]) -> None:
    job["parts"][0] = [1]


def _a_product_that_is_a_number(world: World, job: dict[str, Any]) -> None:
    job["total"]["product"] = 5


def _a_frozen_set_of_words(world: World, job: dict[str, Any]) -> None:
    job["total"]["frozen"]["document"]["members"] = ["x"]


@pytest.mark.parametrize("lie", [
    _no_frozen_set, _nothing, _a_part_of_another_form, _a_list_for_a_part, _a_product_that_is_a_number,
    _a_frozen_set_of_words, _other_ciphertexts, _other_product, _one_left_out, _frozen_by_another,
    _signed_by_another, _of_another_job,
])
def test_a_portal_that_lies_opens_nothing(
    world: World, released: Job, lie: Callable[[World, dict[str, Any]], None]
) -> None:
    lie(world, world.job(released.id))
    with pytest.raises(EnvelopeError) as refused:
        released.wait(seconds=5)
    assert refused.value.code == "envelope.invalid"


def test_a_dealer_that_is_not_of_the_trust_file_is_refused(world: World, released: Job) -> None:
    wire = world.job(released.id)["spec"]
    wire["document"]["dealer"]["signing"] = world.keys["office"].signing_public
    wire |= signed(wire["document"], world.keys["maker"].signing)
    with pytest.raises(VerificationError) as refused:
        released.wait(seconds=5)
    assert refused.value.code == "spec.dealer"


@pytest.mark.parametrize("wrong", [
    {"engine": "spdz"}, {"contribute_until": None}, {"engine": "crypten"}, {"contribute_until": timedelta(0)},
    {"contribute_until": timedelta(days=31)},
    {"contribute_until": datetime(2035, 1, 1)}, {"minimum": 2}, {"minimum": 4},  # noqa: DTZ001
])
def test_what_cannot_be_ordered_is_refused_here(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        buy(world, "k3", **wrong)
    assert not any(path == "/jobs" for path, _, _ in world.portal.posted)


def test_the_key_of_an_order_that_was_refused_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """But where the portal knows the order all the same it is: without it the total would open to nobody."""
    space = world.space()
    before = set(space.keyring.folder.iterdir())
    real = space.portal.post

    def refuses(taken: bool) -> Callable[..., Any]:
        def post(path: str, body: Any, **more: Any) -> Any:
            if path == "/jobs":
                if taken:
                    real(path, body, **more)
                raise Refused("no", code="grant.exhausted")
            return real(path, body, **more)
        return post

    for taken in (False, True):
        monkeypatch.setattr(space.portal, "post", refuses(taken))
        with pytest.raises(Refused):
            space.buy(world.product_id, CALL, idempotency_key=f"k9{taken}", engine="paillier",
                      contribute_until=timedelta(hours=8))
        assert len(set(space.keyring.folder.iterdir()) - before) == int(taken)
    for one in set(space.keyring.folder.iterdir()) - before:
        one.unlink()


def test_a_key_used_for_one_engine_orders_nothing_from_the_other(world: World, released: Job) -> None:
    with pytest.raises(Refused) as refused:
        world.space().buy(world.product_id, CALL, idempotency_key="k1")
    assert refused.value.code == "order.key_reused"


def test_a_time_with_its_zone_will_do(world: World) -> None:
    until = datetime.now(UTC) + timedelta(days=2)
    contributions = world.job(buy(world, "k4", contribute_until=until).id)["spec"]["document"]["contributions"]
    assert contributions["by"] == until.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_reader_that_has_seen_enough_is_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`xinglin jobs | head -1`"""
    monkeypatch.setattr(command_line, "_space", lambda options: world.space())
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        assert command_line.main(["jobs", "--json"]) == 0


def test_the_command_line_orders_and_does_not_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "_space", lambda options: world.space())
    order = ["buy", world.product_id, "crosstab", '{"rows": "sex", "columns": "grade"}', "--hours", "8", "--json"]
    assert command_line.main(order) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["state"], told["contributed"]) == ("queued", 0)
    assert world.job(told["id"])["spec"]["document"]["engine"] == "paillier/1"

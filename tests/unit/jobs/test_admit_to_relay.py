"""The token that a session item brings: for one seat of one room, until the job may end, and for one key."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import document_hash, to_b64
from marketplace.api.admission import LEEWAY, LONGEST
from marketplace.jobs.models import Job
from mpc.token import Claims, holder_of, read
from mpc.transport.identity import Place, SessionIdentity
from tests.simulators.portal_space import Space, Stage, now, staged

stage = staged(Space.ordered)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


def test_it_works(people: Space, stage: Stage, settings: Any, tmp_path: Path) -> None:
    key, spec = Ed25519PrivateKey.generate(), deepcopy(stage.made)
    settings.XINGLIN_RELAY_KEY_FILE = str(tmp_path / "relay.key")
    Path(settings.XINGLIN_RELAY_KEY_FILE).write_text(key.private_bytes_raw().hex())
    leaves = {}
    for seat, name in enumerate(people.seats(spec)):
        made = SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place(document_hash(spec), 1, seat),
                                     now=datetime.now(UTC))
        leaves[name] = made.certificate
        shown = "AAAA" if name == "hospital_b" else to_b64(made.certificate)
        people.answer(spec, name, session={"certificate": shown, "exchange": made.exchange.hex()})
    found: dict[str, Claims] = {}
    for name in leaves:
        (item,) = [one for one in people.door(name).get("/work")["items"] if one["kind"] == "session"]
        if name == "hospital_b":  # its leaf is none: a token would be anybody's
            assert item["relay"] is None
            continue
        found[name] = read(item["relay"]["token"], key.public_key(), now=now().timestamp())
    assert {name: claims.seat for name, claims in found.items()} == {
        name: seat for seat, name in enumerate(leaves) if name != "hospital_b"}
    assert len({(claims.room, claims.job, claims.seats) for claims in found.values()}) == 1
    last = min(Job.objects.get().deadline, now() + LONGEST).timestamp() + LEEWAY
    assert all(0 <= last - claims.expires < 60 for claims in found.values())
    assert {name: claims.holder for name, claims in found.items()} == {
        name: holder_of(leaf) for name, leaf in leaves.items() if name != "hospital_b"}
    assert holder_of(leaves["dealer"]) != holder_of(leaves["hospital_a"])

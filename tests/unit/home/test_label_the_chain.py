"""What kind of chain it is stands on every page that speaks of it, and nowhere is a consortium chain called a toy."""

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from dataspace.provenance import followers
from dataspace.provenance.models import Anchor
from ledger.documents import signed
from tests.simulators.portal_space import Space, people
from tests.unit.provenance.test_record_and_anchor import happened

__all__ = ["people"]
PAGES = ("/ledger", "/ledger/0", "/check", "/sign-in")


def shown(path: str) -> str:
    return Client().get(path, headers={"Accept-Language": "en"}).content.decode()


@pytest.mark.parametrize("profile", ["embedded", "qbft"])
def test_pages_say_what_kind_of_chain_it_is(people: Space, profile: str) -> None:
    happened(2)
    followers.run_all()
    document = people.wire["document"]
    document = {**document, "chain": {**document["chain"], "profile": profile}}
    Path(settings.XINGLIN_TRUST).write_text(json.dumps(signed(document, people.root)))
    for path in PAGES:
        assert ("evelopment chain" in shown(path)) is (profile == "embedded"), path


def test_an_anchor_that_the_chain_lost_is_not_shown_as_standing(people: Space) -> None:
    happened(2)
    people.pass_time()
    assert 'class="num">2</td>' in shown("/ledger")
    Anchor.objects.update(lost_at=timezone.now())
    assert "Nothing is anchored yet." in shown("/ledger")

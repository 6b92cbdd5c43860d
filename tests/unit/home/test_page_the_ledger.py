"""The ledger's list: found by the number a screen begins at, whatever the filter; nothing is counted or skipped."""

import re
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dataspace.actor import SYSTEM
from dataspace.provenance import followers
from dataspace.provenance.models import Leaf
from dataspace.provenance.record import record
from marketplace.home.evidence import stretch
from marketplace.home.page import PER_PAGE
from tests.simulators.portal_space import Space, people

__all__ = ["people"]
TOTAL = 2 * PER_PAGE + 7


@pytest.fixture
def ledger(people: Space) -> int:
    """A ledger of two screens and a bit: every fifth entry is of another kind. How many entries there are."""
    with transaction.atomic():
        for number in range(TOTAL):
            record("grant.revoked" if number % 5 == 0 else "grant.registered", subject_kind="grant",
                   subject_id=uuid4(), actor=SYSTEM, now=timezone.now(), audience=[])
    followers.run_all()
    return Leaf.objects.count()


def shown(path: str) -> tuple[str, list[int], dict[str, str]]:
    """The page, the numbers of the entries on it, and where its links lead."""
    text = Client().get(path, headers={"Accept-Language": "en"}).content.decode()
    links = {rel: href.replace("&amp;", "&") for rel, href in re.findall(r'rel="(next|prev)" href="([^"]+)"', text)}
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    return text, [int(one) for one in re.findall(r"<span>#(\d+)", body)], links


def test_screens_follow_each_other_without_gap_or_double(ledger: int) -> None:
    found, path, screens = list[int](), "/ledger", list[str]()
    while path:
        _, numbers, links = shown(path)
        found += numbers
        screens.append(path)
        path = "/ledger" + links["next"] if "next" in links else ""
    assert found == list(range(ledger))[::-1]
    assert len(screens) == 3
    back, path = list[list[int]](), screens[-1]
    while path:
        _, numbers, links = shown(path)
        back.append(numbers)
        path = "/ledger" + links["prev"] if "prev" in links else ""
    assert len(back) == 3
    assert back[-1] == found[:PER_PAGE]
    for query in ("", f"?before={ledger - PER_PAGE}", "?after=3", "?q=%233"):
        with CaptureQueriesContext(connection) as seen:
            shown("/ledger" + query)
        said = " ".join(one["sql"].upper() for one in seen.captured_queries if "PROVENANCE_" in one["sql"].upper())
        assert "COUNT(" not in said
        assert "OFFSET" not in said


def test_a_filter_keeps_the_order(ledger: int) -> None:
    rows = Leaf.objects.filter(event__kind="grant.revoked")
    numbers = sorted((one.index for one in rows), reverse=True)
    assert [one.index for one in stretch(RequestFactory().get("/"), rows).leaves] == numbers[:PER_PAGE]
    below = stretch(RequestFactory().get("/", {"before": numbers[3]}), rows)
    assert [one.index for one in below.leaves] == numbers[4:]
    assert (below.newer, below.older) == (numbers[4], None)
    text, found, links = shown("/ledger?kind=grant.revoked")  # of which a stranger may see none
    assert "None, at least, that you may see." in text
    assert (found, links) == ([], {})


def test_a_number_that_leads_nowhere_is_no_fault(ledger: int) -> None:
    for query in ("before=x", "after=-1", "before=9999999999999999999999", "page=7", "after=999999999", "before=%00",
                  "after=%D9%A3"):
        assert len(shown(f"/ledger?{query}")[1]) == PER_PAGE, query
    text, numbers, _ = shown("/ledger?before=0")
    assert "No such entry" in text
    assert numbers == []

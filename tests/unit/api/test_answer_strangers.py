"""What somebody gets who knocks at the wrong address or without a signature: a problem document, in one language."""

import pytest
from django.test import Client

from ledger.errors import PortalRefused
from tests.simulators.portal_space import Space


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/api/v1/nothing/here", 404, "not_found"),
        ("post", "/api/v1/nothing", 404, "not_found"),
        ("get", "/api/v1/jobs", 401, "not_authenticated"),
        ("delete", "/api/v1/log/leaves", 405, "method_not_allowed"),
    ],
)
def test_it_works(people: Space, method: str, path: str, status: int, code: str) -> None:
    answer = getattr(Client(), method)(path, headers={"Accept-Language": "zh-CN"})
    body = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert (body["code"], body["detail"].isascii()) == (code, True)
    assert answer["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("typed", ["%C2%B2", "%00", "%00a", "%D9%A3"])
def test_a_strange_search_is_no_fault_of_ours(people: Space, typed: str) -> None:
    assert Client().get(f"/find?q={typed}").status_code == 302


def test_a_value_beyond_the_tables_is_the_senders_fault(people: Space) -> None:
    people.ready()
    with pytest.raises(PortalRefused) as refused:
        people.applied(max_uses=2**32 - 1)
    assert (refused.value.status, refused.value.code) == (422, "document.too_large")

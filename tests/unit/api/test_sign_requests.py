"""Who may speak to the API at all: signatures, age, nonces."""

import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from ledger.door import _Message, sign_request
from ledger.errors import PortalRefused
from marketplace.api.models import Nonce
from tests.simulators.portal_space import Space, in_process

URL = "http://testserver/api/v1/participants"


def signed_get(people: Space, name: str, *, url: str = URL, key: str | None = None) -> dict[str, str]:
    """The headers of one signed request."""
    message = _Message("GET", url, {"Accept": "application/json"})
    sign_request(message, None, participant=people.id(name), key=people.keys[key or name].signing)
    return message.headers


def get(headers: dict[str, str], url: str = URL) -> httpx.Response:
    return in_process().get(url, headers=headers)


def problem(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def test_it_works(people: Space) -> None:
    people.admit("office", "maker")
    answer = get(signed_get(people, "maker"))
    assert answer.status_code == 200
    assert answer.headers["X-Request-Id"]
    assert Nonce.objects.exists()


def test_an_unsigned_request_is_refused(people: Space) -> None:
    answer = get({})
    assert answer.status_code == 401
    assert problem(answer)["code"] == "not_authenticated"
    assert problem(answer)["request_id"] == answer.headers["X-Request-Id"]


def test_another_key_is_refused(people: Space) -> None:
    people.admit("office", "maker", "rival")
    answer = get(signed_get(people, "maker", key="rival"))
    assert (answer.status_code, problem(answer)["code"]) == (401, "http.signature")


def test_nobody_known_is_refused(people: Space) -> None:
    assert get(signed_get(people, "maker")).status_code == 401


def test_another_address_is_refused(people: Space) -> None:
    people.admit("office", "maker")
    headers = signed_get(people, "maker", url=URL + "?a=1")
    assert get(headers).status_code == 401


def test_a_request_sent_again_is_refused(people: Space) -> None:
    people.admit("office", "maker")
    headers = signed_get(people, "maker")
    assert get(headers).status_code == 200
    again = get(headers)
    assert (again.status_code, problem(again)["code"]) == (401, "http.replayed")


def test_an_old_request_is_refused(people: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    people.admit("office", "maker")
    headers = signed_get(people, "maker")
    monkeypatch.setattr("ledger.door.MAX_AGE", timedelta(seconds=0))
    monkeypatch.setattr("ledger.door.CLOCK_SKEW", timedelta(seconds=0))
    time.sleep(1.1)  # the signature's time is in whole seconds
    assert get(headers).status_code == 401


def test_an_altered_body_is_refused(people: Space) -> None:
    people.admit("office", "maker")
    url = "http://testserver/api/v1/scenarios"
    message = _Message("POST", url, {"Content-Type": "application/json"})
    sign_request(message, b'{"document":1}', participant=people.id("maker"), key=people.keys["maker"].signing)
    answer = in_process().post(url, headers=message.headers, content=b'{"document":2}')
    assert answer.status_code == 401


def test_the_regulator_key_in_the_database_counts_for_nothing(people: Space) -> None:
    """Who owns the database does not become the regulator: its key is the trust file's."""
    from dataspace.participants.models import Participant

    people.admit("office", "rival")
    Participant.objects.filter(pk=people.id("office")).update(signing_key=people.keys["rival"].signing_public)
    assert get(signed_get(people, "office", key="rival")).status_code == 401
    assert get(signed_get(people, "office")).status_code == 200


def test_a_suspended_participant_sees_only_itself(people: Space) -> None:
    from dataspace.participants.models import Participant

    people.admit("office", "maker", "rival")
    Participant.objects.filter(pk=people.id("maker")).update(state="suspended")
    door = people.door("maker")
    assert door.get(f"/participants/{people.id('maker')}")["state"] == "suspended"
    for path, status in (("/participants", 403), ("/products", 403), (f"/participants/{people.id('rival')}", 404)):
        with pytest.raises(PortalRefused) as refused:
            door.get(path)
        assert refused.value.status == status

"""Bodies that are not what is meant end in a problem, never in a fault of ours."""

from collections.abc import Iterator

import pytest

from ledger.door import _Message, sign_request
from tests.simulators.portal_space import Space, Stage, in_process, staged

stage = staged(lambda space: space.admit("office", "maker"))


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


PATHS = [
    "/participants",
    "/datasets",
    "/products",
    "/scenarios",
    "/agreements",
    "/jobs",
    "/uses",
]
BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"record": 1}',
    b'{"record": {"document": 1}}',
    b'{"document": {"document": {}, "signatures": []}}',
    b'{"spec": {"document": {"type": "job_spec"}, "signatures": [{}]}}',
    b'{"a": 1, "a": 2}',
    b"[" * 5000,
    b'{"document": NaN}',
]


@pytest.mark.parametrize("path", PATHS)
def test_it_works(people: Space, path: str) -> None:
    for body in BODIES:
        url = f"http://testserver/api/v1{path}"
        message = _Message("POST", url, {"Content-Type": "application/json"})
        sign_request(message, body, participant=people.id("maker"), key=people.keys["maker"].signing)
        answer = in_process().post(url, headers=message.headers, content=body)
        assert 400 <= answer.status_code < 500, (path, body[:60], answer.status_code)
        assert answer.json()["code"]


def test_the_schema_is_there_for_everybody(people: Space) -> None:
    answer = in_process().get("http://testserver/api/v1/schema?format=json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


def test_health_counts_and_names_nothing(people: Space) -> None:
    people.pass_time()
    answer = in_process().get("http://testserver/healthz").json()
    assert answer["ok"] is True
    assert answer["log"]["size"] >= answer["log"]["anchored"] > 0

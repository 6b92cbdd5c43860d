"""Empty pages, pages that are not there, and the page for when the portal itself fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.template.loader import render_to_string
from django.test import Client

from tests.browser.conftest import Walk
from tests.browser.space import PASSWORD, Space

pytestmark = pytest.mark.django_db(transaction=True)
LISTS = ("/", "/products", "/scenarios", "/grants", "/jobs", "/datasets", "/ledger", "/check")


@pytest.fixture
def bare(transactional_db: None, settings: Any, tmp_path: Path) -> Space:
    """Organisations and people, and nothing else yet."""
    space = Space(tmp_path, settings)
    with transaction.atomic():
        space.enrol()
    return space


@pytest.mark.parametrize("username", ["regulator", "cleveland", "consumer"])
def test_every_page_of_an_empty_space_says_what_to_do(bare: Space, client: Client, username: str) -> None:
    assert client.login(username=username, password=PASSWORD)
    for path in LISTS:
        answer = client.get(path, headers={"accept-language": "zh-CN"})
        assert answer.status_code == 200, path
        assert "Content-Security-Policy" in answer.headers
        assert " style=" not in answer.text
        assert "empty-x" in answer.text or path in {"/check", "/"}


def test_an_organisation_that_is_not_admitted_reads_nothing_of_others(
    transactional_db: None, settings: Any, tmp_path: Path, client: Client
) -> None:
    space = Space(tmp_path, settings)
    with transaction.atomic():
        space.enrol(admit=False)
    assert client.login(username="consumer", password=PASSWORD)
    answer = client.get("/", headers={"accept-language": "en"})
    assert "not admitted yet" in answer.text
    assert client.get(f"/participants/{space.members['cleveland'].id}").status_code == 404
    assert client.get(f"/participants/{space.members['consumer'].id}").status_code == 200


def test_a_receipt_file_is_canonical_and_verifies(story: dict[str, Any], client: Client) -> None:
    from ledger.receipt import verify_receipt

    assert client.login(username="consumer", password=PASSWORD)
    answer = client.get(f"/receipts/{story['released'].released_event}.json")
    levels = verify_receipt(answer.content, story["space"].trust)
    assert levels.holds()
    assert levels.as_dict()["approvals"] == "valid"
    client.logout()
    assert client.get(f"/receipts/{story['released'].released_event}.json").status_code == 404


def test_the_verifier_is_a_file_to_keep(client: Client) -> None:
    """The same bytes as in the repository, and never a page of the portal's own origin."""
    answer = client.get("/verify.html")
    assert answer.content == (Path(__file__).resolve().parents[2] / "docs" / "verify.html").read_bytes()
    assert answer["Content-Disposition"].startswith("attachment")


def test_find_leads_to_numbers_ids_and_hashes(story: dict[str, Any], client: Client) -> None:
    assert client.login(username="consumer", password=PASSWORD)
    job = story["released"]
    assert client.get("/find", {"q": "#3"}).headers["location"] == "/ledger/3"
    assert client.get("/find", {"q": str(job.pk)}).headers["location"] == f"/jobs/{job.pk}"
    assert client.get("/find", {"q": job.spec_hash}).headers["location"] == f"/jobs/{job.pk}"
    assert client.get("/find", {"q": "心脏 病"}).headers["location"].startswith("/products?q=")
    assert client.get("/find", {"q": "0" * 64}).status_code == 404
    assert client.get("/ledger/99999").status_code == 404


def test_pages_only_read(story: dict[str, Any], client: Client) -> None:
    assert client.login(username="regulator", password=PASSWORD)
    for path in (*LISTS, f"/scenarios/{story['waiting'].pk}", f"/jobs/{story['running'].pk}"):
        assert 'method="post"' in client.get(path).text  # language and sign-out, and nothing else
        assert client.get(path).text.count('method="post"') == 2, path


def test_the_failure_page_needs_no_database() -> None:
    text = render_to_string("500.html")
    assert "平台这里出了错" in text
    assert "Something went wrong in the portal" in text


@pytest.mark.browser
@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_unknown_address_is_a_page_too(walk: Walk, language: str) -> None:
    reader = walk(language)
    reader.open("/no-such-page", status=404)
    reader.shot("not-there")

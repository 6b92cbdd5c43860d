"""One walk a role, in both languages: every page answers, is well made, says nothing on the console."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace.jobs.models import Job
from tests.browser.conftest import Walk

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
both = pytest.mark.parametrize("language", ["zh", "en"])


@both
def test_public_reads_hashes_and_nothing_else(walk: Walk, story: dict[str, Any], language: str) -> None:
    reader = walk(language)
    reader.open("/")
    assert reader.page.url.endswith("/sign-in?next=/")
    reader.shot("sign-in")
    page = reader.open("/ledger")
    reader.shot("ledger-public")
    words = "仅相关方可见" if language == "zh" else "only for those concerned"
    assert page.get_by_text(words).count() == 25
    assert "grant.registered" not in page.content()
    reader.open("/ledger/3")
    reader.shot("leaf")
    picture = page.locator("svg.tree")
    assert picture.locator(".leaf").count() == 1 and picture.locator(".given").count() > 2
    reader.open("/ledger?q=%233")
    assert page.locator("#entries ~ * tbody tr, tbody tr").filter(has_text="#3").count() == 1
    reader.open("/ledger?q=zz")
    reader.open("/check")
    reader.shot("check")
    event = story["released"].released_event
    reader.open(f"/receipts/{event}", status=404)
    reader.shot("not-there")
    reader.open("/jobs")
    assert "/sign-in" in page.url


@both
def test_regulator_sees_what_waits_and_every_entry(walk: Walk, story: dict[str, Any], language: str) -> None:
    reader = walk(language)
    reader.sign_in("regulator")
    reader.shot("home-regulator")
    assert str(story["waiting"].pk) in reader.page.content()
    for path in ("/scenarios", "/participants", "/products", "/datasets", "/grants", "/jobs"):
        reader.open(path)
    reader.open(f"/scenarios/{story['waiting'].pk}")
    reader.shot("scenario-decide")
    reader.open(f"/participants/{story['space'].members['budapest'].id}")
    reader.shot("participant")
    page = reader.open("/ledger")
    reader.shot("ledger-regulator")
    assert "grant.registered" in page.content() or "job.released" in page.content()
    reader.open("/ledger?kind=grant.registered")
    reader.open(f"/ledger?by={story['space'].members['budapest'].id}")
    assert page.locator("td", has_text="grant.registered").count() == 0
    assert page.locator("td", has_text="dataset.registered").count() == 1
    reader.open(f"/ledger?q={story['scenario'].pk}")
    assert page.locator("td", has_text="scenario.").count() >= 2
    reader.open(f"/scenarios/{story['scenario'].pk}")
    reader.shot("scenario")


@both
def test_hospital_sees_its_datasets_and_consents(walk: Walk, story: dict[str, Any], language: str) -> None:
    reader = walk(language)
    reader.sign_in("cleveland")
    reader.shot("home-hospital")
    assert "xinglin-node consent" in reader.page.content()
    reader.open("/datasets")
    reader.shot("datasets")
    reader.open(f"/datasets/{story['dataset'].pk}")
    reader.shot("dataset")
    reader.open(f"/scenarios/{story['asked'].pk}")
    reader.shot("scenario-consent")
    for path in ("/products", "/scenarios", "/grants", "/jobs"):
        reader.open(path)
    reader.shot("jobs-hospital")
    reader.open(f"/jobs/{story['refused'].pk}")
    reader.shot("job-refused")


@both
def test_enterprise_orders_opens_and_checks(walk: Walk, story: dict[str, Any], language: str) -> None:
    reader = walk(language)
    reader.sign_in("consumer")
    reader.shot("home-enterprise")
    reader.open("/products")
    reader.shot("catalogue")
    reader.open(f"/products/{story['product'].pk}")
    reader.shot("product")
    reader.open("/scenarios")
    reader.open("/grants")
    reader.shot("grants")
    reader.open("/jobs")
    reader.shot("jobs")
    reader.open(f"/jobs/{story['running'].pk}")
    reader.shot("job-running")
    reader.open(f"/jobs/{story['released'].pk}")
    reader.shot("job")
    assert f"xinglin open {story['released'].pk}" in reader.page.content()
    reader.open(f"/jobs/{story['released'].pk}/provenance")
    reader.shot("provenance-job")
    assert reader.page.locator(".steps-x").count() == 6
    reader.open(f"/products/{story['product'].pk}/provenance")
    reader.shot("provenance-product")
    reader.open(f"/receipts/{story['released'].released_event}")
    reader.shot("receipt")
    levels = reader.page.locator(".levels .st").all_inner_texts()
    valid, unchecked = ("有效", "未核验") if language == "zh" else ("Valid", "Not checked")
    assert levels == [valid, valid, unchecked, valid, unchecked, unchecked]


def test_language_is_chosen_by_post_and_stays(walk: Walk) -> None:
    reader = walk("zh")
    page = reader.open("/sign-in")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.get_by_role("button", name="English").click()
    page.wait_for_selector("html[lang=en]")
    reader.open("/ledger")
    assert page.locator("html").get_attribute("lang") == "en"


def test_dark_scheme_and_a_phone(walk: Walk, story: dict[str, Any]) -> None:
    reader = walk("zh", width=390, height=844, scheme="dark")
    reader.sign_in("consumer")
    assert reader.page.locator("html").get_attribute("data-bs-theme") == "dark"
    reader.shot("phone-dark-home")
    reader.page.get_by_role("button", name="菜单").click()
    assert reader.page.get_by_role("link", name="产品目录").is_visible()
    reader.open(f"/jobs/{story['released'].pk}")
    reader.shot("phone-dark-job")
    reader.open(f"/receipts/{story['released'].released_event}")
    reader.open("/ledger")
    reader.page.get_by_role("button", name="切换深浅配色").click()
    assert reader.page.locator("html").get_attribute("data-bs-theme") == "light"
    reader.sound("/ledger")


def test_a_running_job_is_followed_to_its_end(walk: Walk, story: dict[str, Any]) -> None:
    reader = walk("en")
    reader.sign_in("consumer")
    page = reader.open(f"/jobs/{story['running'].pk}")
    assert page.get_by_text("The parties answer, compute and seal").is_visible()
    Job.objects.filter(pk=story["running"].pk).update(state="failed", code="session.peer_lost")
    page.get_by_text("A party was lost during the computation.").wait_for(timeout=15_000)
    reader.sound("the ended job")


def test_keyboard_reaches_the_content_first(walk: Walk) -> None:
    reader = walk("en")
    page = reader.open("/ledger")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_another_organisations_job_reads_as_not_there(walk: Walk, story: dict[str, Any]) -> None:
    reader = walk("en")
    reader.sign_in("cleveland")
    reader.open("/jobs/00000000-0000-4000-8000-000000000000", status=404)
    assert "or it is not yours" in reader.page.content()


def test_times_are_the_readers(walk: Walk) -> None:
    reader = walk("en")
    page = reader.open("/ledger")
    assert page.locator("time[data-local]").count() == 0

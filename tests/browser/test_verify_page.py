"""docs/verify.html: opened as a file, with no network; and the same findings as the verifier in Python."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route
from playwright.sync_api import Error as PlaywrightError

from fixtures import build
from ledger.documents import signed
from tests.browser.conftest import AXE
from tests.simulators.receipts import cases, corpus, crooked_note, edges, flipped, outcome

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "verify.html"
GOLDEN = ROOT / "fixtures" / "golden"
FINGERPRINT = json.loads((GOLDEN / "facts.json").read_text())["trust_fingerprint"]
JUDGE = "([trusts, cases]) => xinglinJudge(trusts, cases)"


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """The file, opened; whatever it says to the console or asks of a network fails the test."""
    context = chromium.new_context(locale="en-GB", offline=True)
    opened, said, asked = context.new_page(), list[str](), list[str]()

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_() if route.request.url == PAGE.as_uri() else route.abort()
    opened.on("console", lambda one: said.append(one.text))
    opened.on("pageerror", lambda one: said.append(str(one)))
    context.route("**/*", refuse)
    opened.goto(PAGE.as_uri())
    yield opened
    context.close()
    assert said == []
    assert set(asked) <= {PAGE.as_uri()}


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def give(page: Page, receipt: Path, fingerprint: str = FINGERPRINT) -> None:
    page.set_input_files("#receipt", receipt)
    page.set_input_files("#trust", GOLDEN / "trust.json")
    page.fill("#fingerprint", fingerprint)
    page.wait_for_selector("output[for=trust]:not(:empty)")
    page.wait_for_selector(f"output[for=receipt]:text(': {receipt.stat().st_size} ')")


def sound(page: Page) -> None:
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("() => axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})")
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]] == []


def test_it_works(page: Page) -> None:
    give(page, GOLDEN / "receipt.json")
    page.focus("#fingerprint")
    page.keyboard.press("Enter")
    assert page.text_content("#verdict") == "The receipt holds"
    assert page.evaluate("document.activeElement.id") == "verdict"
    assert page.eval_on_selector_all("tr[data-level]", "rows => rows.map((one) => one.dataset.state)") == ["valid"] * 6
    said = page.text_content("#levels") or ""
    assert said.count("development chain, one operator") == 2
    assert "2 of 3 witnesses have cosigned, 2 are asked for" in said
    assert page.text_content("#facts") != ""
    sound(page)
    page.click("#language")
    assert page.text_content("#verdict") == "凭证成立"
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert (page.text_content("#levels") or "").count("开发链，单一运营方") == 2
    page.set_viewport_size({"width": 390, "height": 844})
    sound(page)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_files_can_be_dropped(page: Page) -> None:
    give(page, GOLDEN / "receipt.json")
    data = (GOLDEN / "receipt.small.json").read_text()
    page.evaluate("""(text) => {
        const moved = new DataTransfer();
        moved.items.add(new File([text], 'dropped.json'));
        document.querySelector('[data-drop=receipt]').dispatchEvent(new DragEvent('drop', { dataTransfer: moved }));
    }""", data)
    page.wait_for_selector("output[for=receipt]:text('dropped.json')")
    page.click("button.primary")
    assert page.text_content("#says") == "grant.registered, 2026-11-22T07:20:00Z"


def test_what_does_not_hold_is_said_and_what_is_no_receipt(page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    true = (GOLDEN / "receipt.small.json").read_bytes()
    wrong.write_bytes(re.sub(rb'"index":0', b'"index":1', true))
    give(page, wrong)
    page.click("button.primary")
    assert page.text_content("#verdict") == "The receipt does not hold"
    assert page.get_attribute("tr[data-level=inclusion]", "data-state") == "invalid"
    longer = tmp_path / "longer.json"
    longer.write_bytes(true + b"\n")
    give(page, longer)
    page.click("button.primary")
    assert page.text_content("#verdict") == "This is no receipt that can be checked"
    assert page.query_selector("tr[data-level]") is None
    give(page, GOLDEN / "receipt.small.json", "00" * 32)
    page.click("button.primary")
    assert "fingerprint" in (page.text_content("#note") or "")


def test_a_verdict_is_of_the_files_that_are_shown(page: Page, tmp_path: Path) -> None:
    """What was found of one receipt does not stand above the name of another, or beside another fingerprint."""
    for change in (lambda: give(page, GOLDEN / "receipt.json"), lambda: page.fill("#fingerprint", "00" * 32),
                   lambda: page.set_input_files("#trust", GOLDEN / "approval.json")):
        give(page, GOLDEN / "receipt.small.json")
        page.click("button.primary")
        page.wait_for_selector("#verdict:text('The receipt holds')")
        change()
        page.wait_for_selector("#result", state="hidden")
        page.wait_for_selector("#contents", state="hidden")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * 1_000_001)
    give(page, GOLDEN / "receipt.small.json")
    page.set_input_files("#receipt", large)
    page.wait_for_selector("output[for=receipt]:empty", state="attached")
    page.click("button.primary")
    assert page.is_hidden("#result")


def test_the_page_cannot_reach_a_network(chromium: Browser) -> None:
    """Its own policy stops whatever would leave it, online as well."""
    page = chromium.new_page()
    page.goto(PAGE.as_uri())
    policy = page.get_attribute("meta[http-equiv]", "content") or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    tried = page.evaluate("""() => new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (one) => done(one.effectiveDirective));
        const made = new Image();
        made.src = 'https://example.org/x.png';
    })""")
    assert tried == "img-src"
    page.close()


def test_it_is_what_its_sources_make() -> None:
    done = subprocess.run(["node", "ledger/verifier_page/build.mjs", "--check"], cwd=ROOT, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_both_verifiers_find_the_same_level_by_level(page: Page) -> None:
    whole = corpus()
    tried = [*cases(whole, 300, seed=20261122), *edges(whole)]
    ours = [outcome(data, whole.trusts[number]) for number, data in tried]
    assert len(set(ours)) > 20
    assert not any("invalid" in one or one == "refused" for one in ours[:len(whole.receipts)])
    trusts = [[text_of(wire), whole.fingerprint] for wire in whole.wires]
    theirs = page.evaluate(JUDGE, [trusts, [[number, text_of(data)] for number, data in tried]])
    assert theirs == ours


def test_no_signature_holds_for_one_verifier_alone(page: Page) -> None:
    """The log's owner can sign so that RFC 8032 allows both answers; both verifiers give the stricter one."""
    whole = corpus()
    number, data = crooked_note(whole)
    ours = outcome(data, whole.trusts[number])
    assert ours.split(",")[1] == "invalid"
    trusts = [[text_of(wire), whole.fingerprint] for wire in whole.wires]
    assert page.evaluate(JUDGE, [trusts, [[number, text_of(data)]]]) == [ours]


def test_a_trust_file_that_two_halves_of_the_witnesses_could_serve_is_refused(page: Page) -> None:
    document = json.loads((GOLDEN / "trust.json").read_bytes())["document"]
    few = {**document, "witnesses": {**document["witnesses"], "k": 1}}
    wire = text_of(json.dumps(signed(few, build.ed25519("root"))).encode())
    with pytest.raises(PlaywrightError, match="k is too large, or too small"):
        page.evaluate(JUDGE, [[[wire, FINGERPRINT]], []])


def test_bit_flips_of_a_receipt_fail_here_too(page: Page) -> None:
    """Every 331st bit; each single one with `./run bench receipts`."""
    true: bytes = (GOLDEN / "receipt.small.json").read_bytes()
    changed = [true, *(flipped(true, bit) for bit in range(0, 8 * len(true), 331))]
    trusts: list[Any] = [[text_of((GOLDEN / "trust.json").read_bytes()), FINGERPRINT]]
    found = page.evaluate(JUDGE, [trusts, [[0, text_of(one)] for one in changed]])
    assert found[0] == ",".join(["valid"] * 6)
    assert all("invalid" in one or one == "refused" for one in found[1:])

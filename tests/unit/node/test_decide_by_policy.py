"""The hospital's policy: default deny, the first rule that speaks decides, its limits bind, anything odd denies."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.organisations import POLICY
from ledger.documents import new_id
from mpc.node.errors import Refused
from mpc.node.policy import DEFAULT_TEXT, Decision, Question, deny_all
from mpc.node.policyfile import Malformed, load

KEY = bytes(32)
MAKER = new_id()
DIGEST = "ab" * 32
MONDAY = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)  # ten in the morning in Shanghai
ASKED = Question(customer=MAKER, function="describe", version=1, digest=DIGEST, columns=frozenset({"age"}), parties=3,
                 when=MONDAY, first=False, uses_left=9)
CLASSES = '[columns]\nsensitive = ["hiv"]\nnever = ["phone"]\n'


def policy(*rules: str, head: str = 'zone = "+08:00"\n') -> bytes:
    return (head + CLASSES + "".join(rules)).encode()


def rule(customers: str = '["*"]', functions: str = '["describe"]', decision: str = "auto", more: str = "") -> str:
    return (f'[[rule]]\nname = "trial"\ncustomers = {customers}\nfunctions = {functions}\n'
            f'decision = "{decision}"\nfloor = 10\n{more}\n')


def decide(text: bytes, **asked: Any) -> str | int:
    """The floor, or the code of the refusal."""
    try:
        return load(text, key=KEY).rule_on(replace(ASKED, **asked)).check()
    except Refused as refusal:
        return refusal.code


def test_it_works() -> None:
    read = load(POLICY.read_bytes(), key=KEY)
    assert read.agreements is Decision.AUTO
    ruling = read.rule_on(replace(ASKED, function="crosstab"))
    assert (ruling.decision, ruling.check(), ruling.rule) == (Decision.AUTO, 10, 1)
    assert next(step.point for step in ruling.steps) == "speaks" and all(step.passed for step in ruling.steps)


def test_a_new_home_denies_everything_until_somebody_writes_a_rule() -> None:
    assert decide(DEFAULT_TEXT.encode()) == "policy.denied"
    assert load(DEFAULT_TEXT.encode(), key=KEY).agreements is Decision.HOLD
    written = re.sub(r"^# (?=\[\[|[a-z]+ = )", "", DEFAULT_TEXT, flags=re.MULTILINE)
    assert load(written.encode(), key=KEY).rule_on(ASKED).decision is Decision.HOLD


def test_no_rule_denies() -> None:
    assert decide(b"") == "policy.denied"
    assert decide(policy()) == "policy.denied"
    assert decide(policy(rule()), function="crosstab") == "policy.denied"
    assert decide(policy(rule(f'["{new_id()}"]'))) == "policy.denied"


@pytest.mark.parametrize(("functions", "speaks"), [
    ('["describe"]', True), ('["describe@1"]', True), (f'["describe@1:{DIGEST}"]', True), ('["describe@2"]', False),
    (f'["describe@1:{"00" * 32}"]', False), ('["crosstab", "describe"]', True),
])
def test_a_rule_names_functions_by_version_and_digest(functions: str, speaks: bool) -> None:
    assert decide(policy(rule(functions=functions))) == (10 if speaks else "policy.denied")


def test_the_first_rule_that_speaks_decides() -> None:
    mine = f'["{MAKER}"]'
    assert decide(policy(rule(mine, decision="deny"), rule())) == "policy.denied"
    assert decide(policy(rule(mine, decision="deny"), rule()), customer=new_id()) == 10
    assert decide(policy(rule(decision="hold"), rule())) == "policy.held"
    assert decide(policy(rule(more="per_day = 0"), rule())) == "policy.denied"  # beyond the first is not the second


@pytest.mark.parametrize(("columns", "allowed", "answer"), [
    ({"age"}, "", 10), ({"age", "hiv"}, "", "policy.denied"), ({"age", "hiv"}, '["ordinary", "sensitive"]', 10),
    ({"hiv"}, '["sensitive"]', 10), ({"age"}, '["sensitive"]', "policy.denied"),
    ({"phone", "hiv"}, '["ordinary", "sensitive"]', "policy.denied"), (set(), "", 10),
])
def test_columns_by_sensitivity(columns: set[str], allowed: str, answer: str | int) -> None:
    more = f"columns = {allowed}" if allowed else ""
    assert decide(policy(rule(more=more)), columns=frozenset(columns)) == answer


def test_a_minimum_of_parties() -> None:
    assert decide(policy(rule(more="parties = 4"))) == "policy.denied"
    assert decide(policy(rule(more="parties = 4")), parties=4) == 10


@pytest.mark.parametrize(("hours", "when", "inside"), [
    ('hours = "08:00-18:00"', MONDAY, True), ('hours = "08:00-18:00"', MONDAY + timedelta(hours=8), False),
    ('hours = "10:00-11:00"', MONDAY, True), ('hours = "09:00-10:00"', MONDAY, False),
    ('hours = "22:00-06:00"', MONDAY, False), ('hours = "22:00-06:00"', MONDAY + timedelta(hours=13), True),
    ('days = ["mon"]\nhours = "22:00-06:00"', MONDAY + timedelta(hours=17), True),  # Tuesday at three, from Monday
    ('days = ["tue"]\nhours = "22:00-06:00"', MONDAY + timedelta(hours=17), False),
    ('days = ["sat", "sun"]', MONDAY, False), ('days = ["mon"]', MONDAY, True),
    ('hours = "00:00-24:00"', MONDAY, True),
])
def test_hours_in_the_hospitals_zone(hours: str, when: datetime, inside: bool) -> None:
    assert decide(policy(rule(more=hours)), when=when) == (10 if inside else "policy.denied")


def test_so_many_a_day_since_midnight_in_the_hospitals_zone() -> None:
    today, yesterday = MONDAY - timedelta(hours=9), MONDAY - timedelta(hours=11)
    text = policy(rule(more="per_day = 2"))
    assert decide(text, accepted=(today, yesterday, yesterday)) == 10
    assert decide(text, accepted=(today, today)) == "policy.denied"
    assert decide(policy(rule(more='per_day = 2\nbeyond = "hold"')), accepted=(today, today)) == "policy.held"


def test_what_a_person_wants_to_see() -> None:
    assert decide(policy(rule(more='first_use = "hold"')), first=True) == "policy.held"
    assert decide(policy(rule(more='first_use = "hold"'))) == 10
    assert decide(policy(rule(more="uses_left = 5")), uses_left=4) == "policy.held"
    assert decide(policy(rule(more="uses_left = 5")), uses_left=5) == 10


def test_what_is_denied_anyway_is_not_held() -> None:
    text = policy(rule(decision="hold", more='first_use = "hold"\nparties = 9'))
    assert decide(text, first=True) == "policy.denied"


def test_a_release_opens_what_is_held_and_nothing_else() -> None:
    held = load(policy(rule(decision="hold")), key=KEY).rule_on(ASKED)
    assert held.check(released=True) == 10
    with pytest.raises(Refused):
        load(policy(rule(decision="deny")), key=KEY).rule_on(ASKED).check(released=True)


def test_a_policy_that_cannot_be_read_denies() -> None:
    with pytest.raises(Refused) as caught:
        deny_all(key=KEY).rule_on(ASKED).check()
    assert caught.value.code == "policy.denied"


@pytest.mark.parametrize(("text", "line"), [
    ('default = "auto"', 1), ("surprise = 1", 1), ("default", 0), ('version = 2', 1), ('agreements = "yes"', 1),
    ('zone = "Mars/Base"', 1), ('zone = 8', 1), ('rule = 1', 1), ('rule = [1]', 0), ("columns = 1", 1),
    ('[columns]\nordinary = ["age"]', 2), ('[columns]\nodd = "age"', 2), ('[columns]\n"A B" = []', 2),
    (rule() + rule(more="surprise = 1"), 14), (rule(more="floor = -1").replace("floor = 10\n", ""), 6),
    (rule(more='parties = "3"'), 7), (rule(more="parties = true"), 7), (rule(more="per_day = -1"), 7),
    (rule(customers='["everybody"]'), 3), (rule(customers='"*"'), 3), (rule(decision="perhaps"), 5),
    (rule(functions='"describe"'), 4), (rule(functions="[1]"), 4), (rule(functions='["Describe@x"]'), 4),
    (rule(functions='["describe@1:zz"]'), 4), (rule(more='columns = ["secret"]'), 7), (rule(more='hours = "8-18"'), 7),
    (rule(more='hours = "08:00-08:00"'), 7), (rule(more='hours = "08:00-24:30"'), 7), (rule(more='days = ["fun"]'), 7),
    (rule(more='beyond = "auto"'), 7), (rule(more='first_use = "deny"'), 7), (rule().replace("customers", "x"), 3),
    ('[[rule]]\nfunctions = ["describe"]\ndecision = "auto"\n', 1), (rule().replace("name =", "n =", 1), 2),
    ("\xff", 0), ("a = [" * 4000, 1),
])
def test_an_odd_policy_is_not_read_and_says_where(text: str, line: int) -> None:
    with pytest.raises(Malformed) as caught:
        load(text.encode("latin-1"), key=KEY)
    assert (caught.value.code, caught.value.who_must_act) == ("policy.malformed", "custodian")
    assert caught.value.line == line, caught.value.text


@pytest.mark.parametrize(("more", "asked", "point", "limit", "met"), [
    ('hours = "08:00-18:00"', {"when": MONDAY + timedelta(hours=10, minutes=14)}, "hours", "08:00-18:00", "20:14 mon"),
    ('hours = "00:00-24:00"\ndays = ["tue"]', {}, "hours", "00:00-24:00 tue", "10:00 mon"),
    ("", {"columns": frozenset({"age", "hiv"})}, "columns", "ordinary", "ordinary, sensitive"),
    ('filters = ["sex"]', {"filtered": frozenset({"age"})}, "filters", "sex", "age"),
    ("", {"engine": "paillier"}, "engines", "crypten", "paillier"),
    ("parties = 4", {}, "parties", "≥ 4", "3"),
    ("per_day = 2", {"accepted": (MONDAY, MONDAY)}, "per_day", "≤ 2", "3"),
    ('first_use = "hold"', {"first": True}, "first_use", "hold", "1"),
    ("uses_left = 5", {"uses_left": 4}, "uses_left", "≥ 5", "4"),
])
def test_a_step_tells_the_hospital_its_limit_and_what_was_met(more: str, asked: dict[str, Any], point: str, limit: str,
                                                              met: str) -> None:
    ruling = load(policy(rule(more=more)), key=KEY).rule_on(replace(ASKED, **asked))
    assert ruling.steps[-1].as_dict() == {"rule": 1, "name": "trial", "point": point, "passed": False, "limit": limit,
                                          "met": met}
    with pytest.raises(Refused) as caught:
        ruling.check()
    assert caught.value.rule.endswith(f": {point}"), "a verdict is public and names the point alone"


def test_a_rule_that_does_not_speak_says_of_whom_it_does() -> None:
    steps = load(policy(rule(f'["{KEY.hex()[:8]}-0000-4000-8000-000000000000"]'), rule(functions='["crosstab"]')),
                 key=KEY).rule_on(ASKED).steps
    assert [(one.point, one.limit, one.met) for one in steps] == [
        ("customers", "00000000-0000-4000-8000-000000000000", MAKER), ("functions", "crosstab", "describe@1")]


def test_a_limit_that_nobody_set_is_not_told() -> None:
    steps = load(policy(rule()), key=KEY).rule_on(ASKED).steps
    assert {one.point for one in steps if not one.limit} == {
        "speaks", "filters", "hours", "parties", "per_day", "first_use", "uses_left"}


def test_the_hash_is_keyed_and_changes_with_the_text() -> None:
    first = load(DEFAULT_TEXT.encode(), key=KEY).hash
    assert first != load(DEFAULT_TEXT.encode(), key=b"\1" * 32).hash
    assert first != load(DEFAULT_TEXT.encode() + b"# more\n", key=KEY).hash


def test_the_policy_of_the_manual_is_one(root: Path) -> None:
    page = (root / "docs" / "how-to" / "run-a-node.md").read_text("utf-8")
    text = next(part for part in page.split("```toml\n") if part.startswith("version = 1")).partition("```")[0]
    read = load(text.replace("DIGEST\"", "ab" * 32 + "\"").encode(), key=KEY)
    assert [rule.name for rule in read.rules] == ["the commission's own study", "everybody else"]
    ruling = read.rule_on(replace(ASKED, columns=frozenset({"age", "phone"}), uses_left=9))
    assert (ruling.decision, ruling.point) == (Decision.HOLD, "columns")

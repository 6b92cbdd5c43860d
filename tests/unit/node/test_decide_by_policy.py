"""The hospital's policy: default deny, first rule that fits, anything odd denies."""

import pytest

from ledger.documents import new_id
from mpc.node.errors import Refused, Unfit
from mpc.node.policy import DEFAULT_TEXT, Decision, deny_all, load

KEY = bytes(32)
MAKER = new_id()


def rules(text: str) -> bytes:
    return ('default = "deny"\n' + text).encode()


def rule(grantee: str = "*", functions: str = '["describe"]', decision: str = "auto", more: str = "floor = 10") -> str:
    return f'[[rule]]\ngrantee = "{grantee}"\nfunctions = {functions}\ndecision = "{decision}"\n{more}\n'


def code(text: bytes, grantee: str = MAKER, function: str = "describe") -> str:
    with pytest.raises(Refused) as caught:
        load(text, key=KEY).decide(grantee=grantee, function=function)
    return caught.value.code


def test_it_works() -> None:
    policy = load(DEFAULT_TEXT.encode(), key=KEY)
    assert policy.agreements is Decision.AUTO
    assert policy.decide(grantee=MAKER, function="crosstab") == 10


def test_no_rule_denies() -> None:
    assert code(rules("")) == "policy.denied"
    assert code(b"") == "policy.denied"


def test_another_function_or_grantee_denies() -> None:
    assert code(rules(rule()), function="crosstab") == "policy.denied"
    assert code(rules(rule(grantee=new_id()))) == "policy.denied"


def test_the_first_rule_that_fits_decides() -> None:
    assert code(rules(rule(grantee=MAKER, decision="deny") + rule())) == "policy.denied"
    assert code(rules(rule(decision="hold") + rule())) == "policy.held"
    policy = load(rules(rule(grantee=MAKER, more="floor = 30") + rule()), key=KEY)
    assert policy.decide(grantee=MAKER, function="describe") == 30
    assert policy.decide(grantee=new_id(), function="describe") == 10


def test_a_policy_that_cannot_be_read_denies() -> None:
    with pytest.raises(Refused) as caught:
        deny_all(key=KEY).decide(grantee=MAKER, function="describe")
    assert caught.value.code == "policy.denied"


@pytest.mark.parametrize("text", [
    'default = "auto"', 'surprise = 1', "default", rule(more="surprise = 1"), rule(more="floor = -1"),
    rule(more='floor = "10"'), rule(more="floor = true"), rule(grantee="everybody"), rule(decision="perhaps"),
    rule(functions='"describe"'), rule(functions="[1]"), 'rule = 1', 'rule = [1]', 'agreements = "yes"', "\xff",
])
def test_an_odd_policy_is_not_read(text: str) -> None:
    with pytest.raises(Unfit):
        load(text.encode("latin-1"), key=KEY)


def test_the_hash_is_keyed_and_changes_with_the_text() -> None:
    first = load(DEFAULT_TEXT.encode(), key=KEY).hash
    assert first != load(DEFAULT_TEXT.encode(), key=b"\1" * 32).hash
    assert first != load(DEFAULT_TEXT.encode() + b"# more\n", key=KEY).hash

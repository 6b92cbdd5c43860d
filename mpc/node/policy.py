"""The hospital's own word on who may compute what here: `policy.toml`, read whole at every check.

Pure: bytes and a question in, a decision out. Default deny; the first rule that fits decides; an unknown field,
a missing file or a typing error denies everything. The policy can only take away: a grant is needed as well.
"""

import hashlib
import hmac
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from mpc.node.errors import Refused, Unfit

DEFAULT_TEXT = '''# What this node takes part in. First rule that fits decides; nothing fits: deny.
default = "deny"
# Agreements over products that this organisation leads: "auto" signs them when everything checks, "hold" leaves them.
agreements = "auto"

[[rule]]
grantee = "*"
functions = ["describe", "crosstab"]
decision = "auto"
floor = 10
'''
MAX_FLOOR = 1_000_000


class Decision(StrEnum):
    """What the policy says to a job."""

    AUTO = "auto"
    HOLD = "hold"
    DENY = "deny"


@dataclass(frozen=True)
class Rule:
    """For this grantee and these functions: this decision, and no cell under this floor."""

    grantee: str
    functions: frozenset[str]
    decision: Decision
    floor: int

    def fits(self, grantee: str, function: str) -> bool:
        """True when the rule speaks about this grantee and function."""
        return self.grantee in ("*", grantee) and function in self.functions


@dataclass(frozen=True)
class Policy:
    """A read policy; `hash` is keyed, so that a public verdict does not tell the rules."""

    agreements: Decision
    rules: tuple[Rule, ...]
    hash: str

    def decide(self, *, grantee: str, function: str) -> int:
        """The rule's floor when the policy takes part by itself; raise `Refused` when it denies or holds."""
        for number, rule in enumerate(self.rules, start=1):
            if not rule.fits(grantee, function):
                continue
            if rule.decision is Decision.DENY:
                raise Refused("policy.denied", f"rule {number} of the policy denies")
            if rule.decision is Decision.HOLD:
                raise Refused("policy.held", f"rule {number} of the policy holds for a person")
            return rule.floor
        raise Refused("policy.denied", "no rule of the policy fits")


def load(text: bytes, *, key: bytes) -> Policy:
    """The policy in these bytes; anything unknown in it raises `Unfit`, which callers take as deny."""
    try:
        table = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unfit("policy.malformed", f"policy.toml is not TOML: {error}") from error
    _only(table, {"default", "agreements", "rule"}, "policy.toml")
    if table.get("default", "deny") != "deny":
        raise Unfit("policy.malformed", 'policy.toml: default must be "deny"')
    rules = table.get("rule", [])
    if not isinstance(rules, list):
        raise Unfit("policy.malformed", "policy.toml: rule must be a list of tables")
    return Policy(
        agreements=_decision(table.get("agreements", "hold")),
        rules=tuple(_rule(rule) for rule in rules),
        hash=hmac.new(key, b"xinglin/policy\n" + text, hashlib.sha256).hexdigest(),
    )


def deny_all(*, key: bytes) -> Policy:
    """The policy of a node whose policy file cannot be read."""
    return Policy(Decision.DENY, (), hmac.new(key, b"xinglin/policy\ndeny", hashlib.sha256).hexdigest())


def _rule(table: Any) -> Rule:
    if not isinstance(table, dict):
        raise Unfit("policy.malformed", "policy.toml: a rule must be a table")
    _only(table, {"grantee", "functions", "decision", "floor"}, "rule")
    grantee, functions, floor = table.get("grantee"), table.get("functions"), table.get("floor", 0)
    if not isinstance(grantee, str) or not (grantee == "*" or _is_uuid(grantee)):
        raise Unfit("policy.malformed", 'policy.toml: grantee must be "*" or a participant id')
    if not isinstance(functions, list) or not all(isinstance(name, str) for name in functions):
        raise Unfit("policy.malformed", "policy.toml: functions must be a list of names")
    if type(floor) is not int or not 0 <= floor <= MAX_FLOOR:
        raise Unfit("policy.malformed", "policy.toml: floor must be a whole number")
    return Rule(grantee, frozenset(functions), _decision(table.get("decision")), floor)


def _decision(value: Any) -> Decision:
    try:
        return Decision(value)
    except ValueError as error:
        raise Unfit("policy.malformed", "policy.toml: a decision is auto, hold or deny") from error


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _only(table: dict[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise Unfit("policy.malformed", f"{where}: unknown field {unknown[0]}")

"""The hospital's own word on who may compute what here: `policy.toml`, read strictly, decided purely.

Bytes and a question in, a ruling with every step of its way out. Default deny: the first rule that speaks about a job
(its customer and its function) decides; what lies beyond that rule's limits is denied, or held where the rule says so.
An unknown field, a missing file or a typing error denies everything. The policy can only take away: a grant is needed
as well. Texts of rulings go into public verdicts: they name rules and points, never who else may do what. Steps tell
limits, too, and stay in the house.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from enum import StrEnum
from typing import Any

from mpc.node.errors import Refused

DEFAULT_TEXT = '''# What this node takes part in. The first rule that speaks about a job decides; none speaks: deny.
# As it was made it denies everything: nobody has said yet what may be computed here.
# Check an edit with `xinglin-node policy --check`; it counts from the moment it is saved.
version = 1
default = "deny"
# Agreements over products that this organisation leads: "auto" signs them when everything checks, "hold" leaves them.
agreements = "hold"
# The zone of hours and of "a day".
zone = "Asia/Shanghai"

[columns]
# Columns that no rule lets through unless it names them as sensitive; everything else is ordinary.
sensitive = []

# A rule, to be uncommented and made yours. decision: "auto" takes part, "hold" asks a person for every job, "deny".
# [[rule]]
# name = "joint statistics"
# customers = ["*"]
# functions = ["describe", "crosstab"]
# # "paillier" too, if jobs may run whose hospitals are not online together: there the dealer's office and the buyer
# # together could open this hospital's own figures. "crypten" alone is what a rule means that says nothing.
# engines = ["crypten"]
# columns = ["ordinary"]
# decision = "hold"
# floor = 10
# parties = 3
'''


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Decision(StrEnum):
    """What the policy says to a job."""

    AUTO = "auto"
    HOLD = "hold"
    DENY = "deny"


@dataclass(frozen=True)
class Hours:
    """From when until when of a day, on which weekdays (0 is Monday); over midnight when it ends before it begins."""

    begin: time
    end: time
    days: frozenset[int]

    def holds(self, moment: datetime) -> bool:
        """True when this local moment lies inside."""
        now, day = moment.time(), moment.weekday()
        if self.begin < self.end:
            return self.begin <= now < self.end and day in self.days
        return (now >= self.begin and day in self.days) or (now < self.end and (day - 1) % 7 in self.days)

    def __str__(self) -> str:
        """As the policy says it; days where they are not all."""
        end = "24:00" if self.end == time.max else f"{self.end:%H:%M}"
        days = [name for number, name in enumerate(DAYS) if number in self.days]
        return f"{self.begin:%H:%M}-{end}" + (f" {','.join(days)}" if len(days) < len(DAYS) else "")


@dataclass(frozen=True)
class Question:
    """What the policy is asked about one job. `accepted` are the moments at which this customer's other jobs were
    accepted here; `first` says that it never got a result of this function; `uses_left` is after this job."""

    customer: str
    function: str
    version: int
    digest: str
    columns: frozenset[str]
    parties: int
    when: datetime
    engine: str = "crypten"
    accepted: Sequence[datetime] = ()
    first: bool = True
    uses_left: int = 0
    filtered: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Step:
    """One point of one rule, and whether the job passed it; what the rule asks (empty: nothing) and what the job
    brought, for the hospital's own eyes."""

    rule: int
    name: str
    point: str
    passed: bool
    limit: str = ""
    met: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the book and for machines of the house."""
        return {"rule": self.rule, "name": self.name, "point": self.point, "passed": self.passed, "limit": self.limit,
                "met": self.met}


@dataclass(frozen=True)
class Limit:
    """One limit of a rule beside one job: whether the job keeps it, what becomes of one that does not, and the words
    of a step."""

    point: str
    kept: bool
    otherwise: Decision
    limit: str = ""
    met: str = ""


@dataclass(frozen=True)
class Rule:
    """For these customers and functions: a decision, no cell under the floor, and limits beyond which it does not go.
    `filters` are the columns that a filter may name, "*" for all; none unless the rule says so."""

    name: str
    customers: frozenset[str]
    functions: tuple[str, ...]
    decision: Decision
    floor: int = 0
    parties: int = 0
    columns: frozenset[str] = frozenset({"ordinary"})
    filters: frozenset[str] = frozenset()
    engines: frozenset[str] = frozenset({"crypten"})
    hours: Hours | None = None
    per_day: int | None = None
    first_use: Decision = Decision.AUTO
    uses_left: int = 0
    beyond: Decision = Decision.DENY

    def speaks(self, asked: Question) -> str:
        """Empty when the rule speaks about this job, else the point at which it does not."""
        if not self.customers & {"*", asked.customer}:
            return "customers"
        name = f"{asked.function}@{asked.version}"
        return "" if {asked.function, name, f"{name}:{asked.digest}"} & set(self.functions) else "functions"


@dataclass(frozen=True)
class Ruling:
    """The outcome for one job: a floor to stand by, the rule and the point it hung on, and the way there."""

    decision: Decision
    floor: int
    rule: int | None
    point: str
    steps: tuple[Step, ...]

    def check(self, *, released: bool = False) -> int:
        """The floor, or `Refused`; what is held passes when a person released this very job."""
        number = f"rule {self.rule}" if self.rule else "no rule"
        if self.decision is Decision.DENY:
            raise Refused("policy.denied", f"{number} of the policy: {self.point}" if self.rule else
                          "no rule of the policy speaks about this job")
        if self.decision is Decision.HOLD and not released:
            raise Refused("policy.held", f"{number} of the policy holds it for a person: {self.point}")
        return self.floor


@dataclass(frozen=True)
class Policy:
    """A read policy; `hash` is keyed, so that a public verdict does not tell the rules."""

    agreements: Decision
    rules: tuple[Rule, ...]
    hash: str
    zone: tzinfo = UTC
    classes: dict[str, frozenset[str]] = field(default_factory=dict)

    def rule_on(self, asked: Question) -> Ruling:
        """The ruling on this job, with every point that was looked at."""
        steps: list[Step] = []
        for number, rule in enumerate(self.rules, start=1):
            if silent := rule.speaks(asked):
                steps.append(Step(number, rule.name, silent, False, *_silence(rule, asked, silent)))
                continue
            steps.append(Step(number, rule.name, "speaks", True))
            if rule.decision is Decision.DENY:
                return Ruling(Decision.DENY, 0, number, "decision", tuple(steps))
            for one in self._limits(rule, asked):
                steps.append(Step(number, rule.name, one.point, one.kept, one.limit, one.met))
                if not one.kept:
                    return Ruling(one.otherwise, rule.floor, number, one.point, tuple(steps))
            return Ruling(rule.decision, rule.floor, number, "decision", tuple(steps))
        return Ruling(Decision.DENY, 0, None, "default", tuple(steps))

    def _limits(self, rule: Rule, asked: Question) -> list[Limit]:
        """Each limit and how it is kept. A limit that denies is looked at before one that holds, so that nobody is
        asked about what is denied anyway."""
        here = asked.when.astimezone(self.zone)
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
        today = sum(1 for moment in asked.accepted if moment >= midnight)
        classes, beyond = self._classes_of(asked.columns), rule.beyond
        found = [
            Limit("columns", classes <= rule.columns, beyond, _listed(rule.columns), _listed(classes)),
            Limit("filters", "*" in rule.filters or asked.filtered <= rule.filters, beyond, _listed(rule.filters),
                  _listed(asked.filtered)),
            Limit("engines", asked.engine in rule.engines, beyond, _listed(rule.engines), asked.engine),
            Limit("parties", asked.parties >= rule.parties, beyond, _least(rule.parties), str(asked.parties)),
            Limit("hours", rule.hours is None or rule.hours.holds(here), beyond,
                  "" if rule.hours is None else str(rule.hours), f"{here:%H:%M} {DAYS[here.weekday()]}"),
            Limit("per_day", rule.per_day is None or today < rule.per_day, beyond,
                  "" if rule.per_day is None else f"≤ {rule.per_day}", str(today + 1)),
            Limit("first_use", not asked.first or rule.first_use is Decision.AUTO, rule.first_use,
                  "" if rule.first_use is Decision.AUTO else rule.first_use.value, "1" if asked.first else ""),
            Limit("uses_left", asked.uses_left >= rule.uses_left, Decision.HOLD, _least(rule.uses_left),
                  str(asked.uses_left)),
        ]
        return sorted(found, key=lambda limit: limit.otherwise is Decision.HOLD)

    def _classes_of(self, columns: frozenset[str]) -> frozenset[str]:
        named = {name for name, members in self.classes.items() if members & columns}
        marked = frozenset[str]().union(*self.classes.values())
        return frozenset(named | ({"ordinary"} if columns - marked or not columns else set()))


def _silence(rule: Rule, asked: Question, point: str) -> tuple[str, str]:
    """Of whom, or of what, a rule speaks that does not speak about this job; and who, or what, this job is."""
    if point == "customers":
        return _listed(rule.customers), asked.customer
    return ", ".join(rule.functions), f"{asked.function}@{asked.version}"


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _least(number: int) -> str:
    return f"≥ {number}" if number else ""


def deny_all(*, key: bytes) -> Policy:
    """The policy of a node whose policy file cannot be read."""
    return Policy(Decision.DENY, (), keyed_hash(b"deny", key))


def keyed_hash(text: bytes, key: bytes) -> str:
    """What a verdict says of the policy: the same for the same text, and nothing else about it."""
    return hmac.new(key, b"xinglin/policy\n" + text, hashlib.sha256).hexdigest()


FUNCTION = re.compile(r"[a-z][a-z0-9_]*(@[1-9][0-9]{0,5}(:[0-9a-f]{64})?)?")

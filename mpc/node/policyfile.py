"""Reads `policy.toml`: strict, every fault with its code, its line and who must act. Pure: bytes in, a `Policy` out.

Anything unknown is a fault, and a fault is a policy that denies everything: a misspelt field must never widen what a
hospital allows.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mpc.node.errors import Unfit
from mpc.node.policy import DAYS, FUNCTION, Decision, Hours, Policy, Rule, keyed_hash

MAX_BYTES = 1 << 20
MAX_FLOOR = 1_000_000
MAX_RULES = 500
TOP = frozenset({"version", "default", "agreements", "zone", "columns", "rule"})
ENGINES = frozenset({"crypten", "paillier"})
FIELDS = frozenset({"name", "customers", "functions", "decision",
                    "engines", "floor", "parties", "columns", "hours", "days",
                    "per_day", "first_use", "uses_left", "beyond", "filters"})
OF_A_PLACE = ("hours", "days", "per_day")  # what means nothing before somebody says whose clock and whose midnight
CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
OFFSET = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")
AT_LINE = re.compile(r"at line ([0-9]+)")
HEADER = re.compile(r"\s*\[\[\s*rule\s*\]\]")


class Malformed(Unfit):
    """The policy cannot be read; `line` is where, 0 when no line is at fault. The custodian must act."""

    who_must_act = "custodian"

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__("policy.malformed", f"policy.toml{f', line {line}' if line else ''}: {text}")
        self.line = line


class _Fault(Exception):
    """A fault of a field, before its line is known."""

    def __init__(self, name: str, text: str, rule: int = 0) -> None:
        super().__init__(text)
        self.name, self.text, self.rule = name, text, rule


def load(text: bytes, *, key: bytes) -> Policy:
    """The policy in these bytes; anything odd in it raises `Malformed`, which callers take as deny."""
    if len(text) > MAX_BYTES:
        raise Malformed("is larger than 1 MiB")
    try:
        source = text.decode("utf-8")
        table = tomllib.loads(source)
    except UnicodeDecodeError as error:
        raise Malformed("is not UTF-8") from error
    except (tomllib.TOMLDecodeError, ValueError) as error:
        at = AT_LINE.search(str(error))
        raise Malformed(f"is not TOML: {error}", int(at[1]) if at else 0) from error
    except RecursionError as error:
        raise Malformed("is nested too deeply") from error
    try:
        return _policy(table, keyed_hash(text, key))
    except _Fault as fault:
        raise Malformed(fault.text, _line(source, fault)) from fault


def _policy(table: dict[str, Any], digest: str) -> Policy:
    _only(table, TOP, 0)
    if table.get("version", 1) != 1 or type(table.get("version", 1)) is not int:
        raise _Fault("version", "this node reads version 1")
    if table.get("default", "deny") != "deny":
        raise _Fault("default", 'default must be "deny"')
    classes = _classes(table.get("columns", {}))
    rules = table.get("rule", [])
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise _Fault("rule", f"rule must be a list of at most {MAX_RULES} tables")
    made = tuple(_rule(rule, number, frozenset(classes)) for number, rule in enumerate(rules, start=1))
    if "zone" not in table:
        _check_placeless(rules)
    return Policy(
        agreements=_decision(table.get("agreements", "hold"), "agreements", 0), hash=digest,
        zone=_zone(table.get("zone", "UTC")), classes=classes, rules=made)


def _check_placeless(rules: list[dict[str, Any]]) -> None:
    """No rule speaks of hours or of a day: UTC, silently taken, would let jobs through at night."""
    for number, rule in enumerate(rules, start=1):
        for name in OF_A_PLACE:
            if name in rule:
                raise _Fault(name, f'{name} needs a zone, before all rules: zone = "Asia/Shanghai", or "UTC"', number)


def _classes(table: Any) -> dict[str, frozenset[str]]:
    if not isinstance(table, dict):
        raise _Fault("columns", "columns must be a table of classes")
    found = {}
    for name, members in table.items():
        if name == "ordinary" or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise _Fault(name, f"{name[:40]!r} is no name for a class of columns (ordinary is what no class names)")
        found[name] = frozenset(_texts(members, name, 0, empty=True))
    return found


def _rule(table: Any, number: int, classes: frozenset[str]) -> Rule:
    if not isinstance(table, dict):
        raise _Fault("rule", "a rule must be a table", number)
    _only(table, FIELDS, number)
    for name in ("customers", "functions", "decision"):
        if name not in table:
            raise _Fault("", f"rule {number} lacks {name}", number)
    customers = _texts(table["customers"], "customers", number)
    if not all(one == "*" or _is_uuid(one) for one in customers):
        raise _Fault("customers", 'customers are participant ids, or "*"', number)
    functions = _texts(table["functions"], "functions", number)
    if not all(FUNCTION.fullmatch(one) for one in functions):
        raise _Fault("functions", "a function is NAME, NAME@VERSION or NAME@VERSION:DIGEST", number)
    columns = frozenset(_texts(table.get("columns", ["ordinary"]), "columns", number))
    if unknown := sorted(columns - classes - {"ordinary"}):
        raise _Fault("columns", f"no class of columns is named {unknown[0][:40]!r}", number)
    engines = frozenset(_texts(table.get("engines", ["crypten"]), "engines", number))
    if not engines <= ENGINES:
        raise _Fault("engines", f"engines are {', '.join(sorted(ENGINES))}", number)
    name = table.get("name", "")
    if not isinstance(name, str) or len(name) > 100:
        raise _Fault("name", "a rule's name is a text of at most 100 characters", number)
    return Rule(
        name=name, customers=frozenset(customers), functions=tuple(functions), columns=columns,
        engines=engines,
        filters=frozenset(_texts(table.get("filters", []), "filters", number, empty=True)),
        decision=_decision(table["decision"], "decision", number),
        floor=_whole(table.get("floor", 0), "floor", number),
        parties=_whole(table.get("parties", 0), "parties", number),
        hours=_hours(table, number),
        per_day=None if "per_day" not in table else _whole(table["per_day"], "per_day", number),
        first_use=_either(table.get("first_use", "auto"), "first_use", number, Decision.AUTO),
        uses_left=_whole(table.get("uses_left", 0), "uses_left", number),
        beyond=_either(table.get("beyond", "deny"), "beyond", number, Decision.DENY))


def _hours(table: Mapping[str, Any], number: int) -> Hours | None:
    if "hours" not in table and "days" not in table:
        return None
    text = table.get("hours", "00:00-24:00")
    found = CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None or (found[3] == "24" and found[4] != "00"):
        raise _Fault("hours", 'hours are "HH:MM-HH:MM"', number)
    begin = time(int(found[1]), int(found[2]))
    end = time.max if found[3] == "24" else time(int(found[3]), int(found[4]))
    if begin == end:
        raise _Fault("hours", "hours begin and end at different times", number)
    days = _texts(table.get("days", list(DAYS)), "days", number)
    if not set(days) <= set(DAYS):
        raise _Fault("days", f"days are {', '.join(DAYS)}", number)
    return Hours(begin, end, frozenset(DAYS.index(day) for day in days))


def _zone(value: Any) -> tzinfo:
    if value == "UTC":
        return UTC
    if isinstance(value, str) and (found := OFFSET.fullmatch(value)):
        minutes = int(found[2]) * 60 + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    try:
        if not isinstance(value, str) or len(value) > 64:
            raise ValueError
        zone = ZoneInfo(value)
        datetime.now(zone)
        return zone
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _Fault("zone", 'zone is a name such as "Asia/Shanghai", or an offset such as "+08:00"') from error


def _either(value: Any, name: str, number: int, other: Decision) -> Decision:
    decision = _decision(value, name, number)
    if decision not in (Decision.HOLD, other):
        raise _Fault(name, f"{name} is hold or {other}", number)
    return decision


def _decision(value: Any, name: str, number: int) -> Decision:
    try:
        return Decision(value)
    except (ValueError, TypeError) as error:
        raise _Fault(name, f"{name} is auto, hold or deny", number) from error


def _texts(value: Any, name: str, number: int, *, empty: bool = False) -> list[str]:
    if not isinstance(value, list) or not (value or empty) or not all(
            isinstance(one, str) and 0 < len(one) <= 200 for one in value):
        raise _Fault(name, f"{name} must be a list of texts", number)
    return value


def _whole(value: Any, name: str, number: int) -> int:
    if type(value) is not int or not 0 <= value <= MAX_FLOOR:
        raise _Fault(name, f"{name} must be a whole number from 0 to {MAX_FLOOR}", number)
    return value


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _only(table: dict[str, Any], known: frozenset[str], number: int) -> None:
    if unknown := sorted(set(table) - known):
        raise _Fault(unknown[0], f"unknown field {unknown[0][:40]!r}", number)


def _line(source: str, fault: _Fault) -> int:
    """Where the field stands: in the rule of that number, or before all rules; 0 when it is not to be found."""
    lines, at, rule = source.splitlines(), 0, 0
    field = re.compile(rf"\s*[\"']?{re.escape(fault.name)}[\"']?\s*[=.\]]|\s*\[+\s*{re.escape(fault.name)}\b") \
        if fault.name else None
    for number, line in enumerate(lines, start=1):
        if HEADER.match(line):
            rule += 1
            at = number if rule == fault.rule else at
        if rule == fault.rule and field is not None and field.match(line):
            return number
    return at

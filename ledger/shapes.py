"""The small words the schemas are written in: a check takes a value and its JSON pointer, and raises DocumentError.

Nothing is coerced and nothing is ignored: an unknown field, a missing field, a bool where an integer is meant, a
float anywhere, all are refused. Knows no document; `schemas.py` does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

from ledger.errors import DocumentError

Check = Callable[[object, str], None]

TIME_FORM = "%Y-%m-%dT%H:%M:%SZ"
SAFE_INT = 2**53 - 1


def malformed(pointer: str, message: str) -> DocumentError:
    return DocumentError("document.malformed", f"{pointer or '/'}: {message}")


def pattern(form: str, meaning: str) -> Check:
    compiled = re.compile(form)

    def check(value: object, pointer: str) -> None:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise malformed(pointer, f"is not {meaning}")
    return check


def text(least: int = 1, most: int = 4000) -> Check:
    def check(value: object, pointer: str) -> None:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise malformed(pointer, f"is not a text of {least} to {most} characters")
        if any(ord(letter) < 32 and letter not in "\n\t" for letter in value):
            raise malformed(pointer, "has control characters")
    return check


def integer(least: int = 0, most: int = SAFE_INT) -> Check:
    def check(value: object, pointer: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise malformed(pointer, f"is not an integer of {least} to {most}")
    return check


def boolean(value: object, pointer: str) -> None:
    if not isinstance(value, bool):
        raise malformed(pointer, "is not true or false")


def literal(*allowed: object) -> Check:
    def check(value: object, pointer: str) -> None:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise malformed(pointer, f"is not one of {', '.join(str(one) for one in allowed)}")
    return check


def nullable(inner: Check) -> Check:
    def check(value: object, pointer: str) -> None:
        if value is not None:
            inner(value, pointer)
    return check


def fields(shape: Mapping[str, Check], *rules: Check, may: Mapping[str, Check] | None = None) -> Check:
    """An object with exactly these fields, and those of `may` or not; `rules` see the whole object afterwards."""
    others = may or {}

    def check(value: object, pointer: str) -> None:
        if not isinstance(value, dict):
            raise malformed(pointer, "is not an object")
        for name in value:
            if name not in shape and name not in others:
                raise malformed(f"{pointer}/{name}", "is not a field of this document")
        for name, inner in shape.items():
            if name not in value:
                raise malformed(f"{pointer}/{name}", "is missing")
            inner(value[name], f"{pointer}/{name}")
        for name in others.keys() & value.keys():
            others[name](value[name], f"{pointer}/{name}")
        for rule in rules:
            rule(value, pointer)
    return check


def items(inner: Check, least: int = 0, most: int = 64, *, by: str | None = None, unique: bool = False) -> Check:
    """A list; `by` names the field its objects are strictly sorted by (which makes them distinct)."""
    def check(value: object, pointer: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise malformed(pointer, f"is not a list of {least} to {most} items")
        for index, one in enumerate(value):
            inner(one, f"{pointer}/{index}")
        if by is not None:
            keys = [one[by] for one in value]
            if any(a >= b for a, b in pairwise(keys)):
                raise malformed(pointer, f"is not sorted by {by}, or names one twice")
        if unique and len(set(value)) != len(value):
            raise malformed(pointer, "names one twice")
    return check


def mapping_of(inner: Check, most: int = 64) -> Check:
    def check(value: object, pointer: str) -> None:
        if not isinstance(value, dict) or len(value) > most or not all(isinstance(name, str) for name in value):
            raise malformed(pointer, f"is not an object of at most {most} fields")
        for name, one in value.items():
            inner(one, f"{pointer}/{name}")
    return check


def plain_json(value: object, pointer: str) -> None:
    """Any JSON without floats: these have more than one spelling."""
    if isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str):
                raise malformed(pointer, "has a field name that is not text")
            plain_json(one, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            plain_json(one, f"{pointer}/{index}")
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > SAFE_INT:
            raise malformed(pointer, "is an integer beyond 2^53")
    elif value is not None and not isinstance(value, str | bool):
        raise malformed(pointer, "is not text, an integer, true, false or null")


def json_object(value: object, pointer: str) -> None:
    if not isinstance(value, dict):
        raise malformed(pointer, "is not an object")
    plain_json(value, pointer)


def when(value: object, pointer: str) -> None:
    """RFC 3339, UTC, whole seconds, upper-case T and Z; not before the year 1000, which systems spell differently."""
    try:
        if isinstance(value, str) and value[:1] != "0" and parse_time(value).strftime(TIME_FORM) == value:
            return
    except ValueError:
        pass
    raise malformed(pointer, "is not a UTC time like 2026-11-22T07:20:00Z")


def blob(most: int) -> Check:
    def check(value: object, pointer: str) -> None:
        if not isinstance(value, str):
            raise malformed(pointer, "is not base64url")
        if len(from_b64(value, pointer)) > most:
            raise malformed(pointer, f"is longer than {most} bytes")
    return check


def parse_time(value: str) -> datetime:
    return datetime.strptime(value, TIME_FORM).replace(tzinfo=UTC)


def to_b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64(value: str, pointer: str = "") -> bytes:
    """base64url without padding; a spelling that does not come back as itself is refused."""
    try:
        data = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as trouble:
        raise malformed(pointer, "is not base64url") from trouble
    if to_b64(data) != value:
        raise malformed(pointer, "is not base64url in its one spelling")
    return data


def hexadecimal(size: int) -> Check:
    return pattern(f"[0-9a-f]{{{2 * size}}}", f"{size} bytes in lower-case hex")


def tagged(name: str, forms: Mapping[str, Check]) -> Check:
    """An object whose field `name` says which of the forms it has."""
    known = literal(*forms)

    def check(value: object, pointer: str) -> None:
        tag = value.get(name) if isinstance(value, dict) else None
        known(tag, f"{pointer}/{name}")
        forms[str(tag)](value, pointer)
    return check


def hex0x(size: int) -> Check:
    return pattern(f"0x[0-9a-f]{{{2 * size}}}", f"{size} bytes in lower-case hex after 0x")


SMALL_ORDER = frozenset(bytes.fromhex(one) for one in (
    "00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
"""The encodings, sign bit aside, of the Ed25519 points under which somebody without a key can sign."""


def signing_key(value: object, pointer: str) -> None:
    """An Ed25519 public key that binds its owner: whoever shows one of small order could disown all signatures."""
    hexadecimal(32)(value, pointer)
    raw = bytes.fromhex(str(value))
    if raw[:31] + bytes([raw[31] & 0x7F]) in SMALL_ORDER:
        raise malformed(pointer, "is a key of small order, under which anybody signs")


uuid = pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "a lower-case UUID")
address = hex0x(20)
digest = hexadecimal(32)
salt = hexadecimal(32)
signature0x = pattern("0x([0-9a-f]{2}){65,4000}", "a signature in lower-case hex after 0x")
word = pattern("[a-z][a-z0-9_]{0,39}", "a lower-case word")
event_kind = pattern(r"[a-z][a-z0-9_]{0,39}(\.[a-z][a-z0-9_]{0,39}){1,3}", "an event kind like grant.registered")
code = pattern(r"[a-z][a-z0-9_]{0,39}(\.[a-z0-9_]{1,40}){0,3}", "a dotted code")
currency = pattern("[A-Z]{3}", "an ISO 4217 code")
function_key = pattern("[a-z][a-z0-9_]{0,39}@[1-9][0-9]{0,5}", "a function like describe@1")
label = text(1, 200)
both_languages = fields({"zh": text(1, 4000), "en": text(1, 4000)})
decimal = pattern(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?", "a decimal number")
host_port = pattern(r"[A-Za-z0-9.\-\[\]:]{1,253}:[0-9]{1,5}", "host:port")


def earlier(first: str, second: str, *, at_most: int | None = None) -> Check:
    """Rule: the time in field `first` is before that in `second` (by at most so many seconds)."""
    def rule(value: object, pointer: str) -> None:
        document = value if isinstance(value, dict) else {}
        gap = (parse_time(document[second]) - parse_time(document[first])).total_seconds()
        if gap <= 0 or (at_most is not None and gap > at_most):
            raise malformed(f"{pointer}/{second}", f"is not after {first}, or too far from it")
    return rule


def job_times(hours: int, days: int) -> Check:
    """Rule: a job ends so many hours after it was issued, at most; one that collects contributions, so many days: it,
    and no other, says until when, from how many at least, and under which key."""
    together = earlier("issued_at", "deadline", at_most=hours * 3600)
    apart = earlier("issued_at", "deadline", at_most=days * 86_400)

    def rule(value: object, pointer: str) -> None:
        document = value if isinstance(value, dict) else {}
        asked = document.get("contributions")
        if (document["engine"] == "paillier/1") != (asked is not None):
            raise malformed(f"{pointer}/contributions", "comes with the engine paillier/1, and with no other")
        if asked is None:
            together(value, pointer)
            return
        apart(value, pointer)
        if not parse_time(document["issued_at"]) < parse_time(asked["by"]) < parse_time(document["deadline"]):
            raise malformed(f"{pointer}/contributions/by", "is not between issued_at and deadline")
        if asked["minimum"] > len(document["roster"]):
            raise malformed(f"{pointer}/contributions/minimum", "is more than the roster")
    return rule


def paillier_key(value: object, pointer: str) -> None:
    """n of 2,048 or 3,072 bits and hs below its square, in lower-case hex without leading zeros."""
    number = pattern("[1-9a-f][0-9a-f]{1,1535}", "a number in lower-case hex")
    fields({"n": pattern("[89a-f]([0-9a-f]{511}|[0-9a-f]{767})", "a number of 2048 or 3072 bits in lower-case hex"),
            "hs": number})(value, pointer)


def distinct_keys(value: object, pointer: str) -> None:
    """Rule: what a node's service key signs alone is never a person's approval."""
    keys = value if isinstance(value, dict) else {}
    held = [one["address"] for one in keys["approval"]] + [keys["service"]]
    if len(set(held)) != len(held):
        raise malformed(pointer, "names one address for two keys")


def proof_rule(value: object, pointer: str) -> None:
    """Rule: a header and the proofs under it come together or not at all."""
    leg = value if isinstance(value, dict) else {}
    if len({leg["header"] is not None, bool(leg["account_proof"]), bool(leg["storage_proof"])}) != 1:
        raise malformed(pointer, "has a header without its proofs, or proofs without their header")


def packed_proof_rule(value: object, pointer: str) -> None:
    """Rule: the same of a receipt's file."""
    leg = value if isinstance(value, dict) else {}
    if len({leg[name] is None for name in ("header", "account", "storage")}) != 1:
        raise malformed(pointer, "has a header without its proofs, or proofs without their header")


def persons_rule(value: object, pointer: str) -> None:
    """Persons are told apart by an identifier column, or each row is said to be one; not both."""
    record = value if isinstance(value, dict) else {}
    if "one_person_per_row" in record and any(one["kind"] == "identifier" for one in record["columns"]):
        raise malformed(f"{pointer}/one_person_per_row", "stands beside an identifier column")


def column_rule(value: object, pointer: str) -> None:
    """A number says its bounds and grid, a category its codes; nothing else says either."""
    column = value if isinstance(value, dict) else {}
    grid = [column["min"], column["max"], column["step"]]
    if column["kind"] == "number":
        if None in grid or Fraction(column["min"]) > Fraction(column["max"]) or Fraction(column["step"]) <= 0:
            raise malformed(pointer, "a number needs min <= max and a step above 0")
    elif grid != [None, None, None]:
        raise malformed(pointer, "only a number has min, max and step")
    if (column["kind"] == "category") != (column["codes"] is not None):
        raise malformed(f"{pointer}/codes", "a category has codes, nothing else has")

"""Documents: one form, one spelling, and signatures that fit one document of one type."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.documents import (
    canonical,
    chain_id_of,
    check,
    document_hash,
    from_b64,
    load_json,
    new_document,
    new_id,
    public_hex,
    signed,
    to_b64,
    verify_signed,
)
from ledger.errors import DocumentError, VerificationError
from ledger.schemas import SCHEMAS

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def confirmation(**changes: Any) -> dict[str, Any]:
    values = {"product": new_id(), "product_hash": "ab" * 32, "participant": new_id(), **changes}
    return new_document("product_confirmation", **values)


def test_it_works() -> None:
    document = confirmation()
    wire = signed(document, KEY, OTHER)
    assert verify_signed(wire, type="product_confirmation", keys=[public_hex(KEY), public_hex(OTHER)]) == document


def test_canonical_bytes_are_rfc8785() -> None:
    """The RFC's own example of sorting, and of what is escaped."""
    value = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
             "\U0001f600": "Emoji", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}
    assert canonical(value).decode() == (
        '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",'
        '"\u20ac":"Euro Sign","\U0001f600":"Emoji","\ufb33":"Hebrew Letter Dalet With Dagesh"}')
    assert canonical({"b": [1, True, None], "a": "\u001f\"\\/"}) == b'{"a":"\\u001f\\"\\\\/","b":[1,true,null]}'


def test_an_altered_document_is_refused() -> None:
    wire = signed(confirmation(), KEY)
    wire["document"]["product_hash"] = "ac" * 32
    with pytest.raises(VerificationError, match=r"signature\.invalid"):
        verify_signed(wire, type="product_confirmation", keys=[public_hex(KEY)])


def test_every_named_key_must_have_signed() -> None:
    wire = signed(confirmation(), KEY)
    with pytest.raises(VerificationError, match=r"signature\.missing"):
        verify_signed(wire, type="product_confirmation", keys=[public_hex(KEY), public_hex(OTHER)])
    with pytest.raises(VerificationError, match=r"signature\.missing"):
        verify_signed(wire, type="product_confirmation", keys=[])


def test_a_key_that_signed_twice_is_refused() -> None:
    with pytest.raises(VerificationError, match=r"signature\.missing"):
        verify_signed(signed(confirmation(), KEY, KEY), type="product_confirmation", keys=[public_hex(KEY)])


def test_one_key_does_not_stand_for_another() -> None:
    wire = signed(confirmation(), KEY)
    wire["signatures"][0]["key"] = public_hex(OTHER)
    with pytest.raises(VerificationError, match=r"signature\.invalid"):
        verify_signed(wire, type="product_confirmation", keys=[public_hex(OTHER)])


def test_a_signature_fits_one_type_only() -> None:
    listing = new_document("product_listing", product=new_id(), product_hash="ab" * 32, participant=new_id(),
                           decision="list", note="")
    with pytest.raises(DocumentError):
        verify_signed(signed(listing, KEY), type="product_confirmation", keys=[public_hex(KEY)])


@pytest.mark.parametrize(("change", "pointer"), [
    ({"more": 1}, "/more"), ({"product": None}, "/product"), ({"product": "X"}, "/product"),
    ({"product_hash": "AB" * 32}, "/product_hash"), ({"issued_at": "2026-11-22T07:20:00+00:00"}, "/issued_at"),
    ({"issued_at": "2026-13-22T07:20:00Z"}, "/issued_at"), ({"version": 2}, "/version"),
    ({"version": True}, "/version"), ({"version": 1.0}, "/version"), ({"type": "product"}, "/type"),
])
def test_what_is_not_of_the_form_is_refused_by_pointer(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DocumentError) as refused:
        check({**confirmation(), **change}, "product_confirmation")
    assert refused.value.message.startswith(f"{pointer}:")


def test_a_missing_field_is_refused() -> None:
    for name in confirmation():
        document = confirmation()
        del document[name]
        with pytest.raises(DocumentError, match=name):
            check(document, "product_confirmation")


def test_a_malformed_document_is_never_signed() -> None:
    with pytest.raises(DocumentError):
        signed({**confirmation(), "more": 1}, KEY)


@pytest.mark.parametrize("key", [
    "01" + "00" * 31, "01" + "00" * 30 + "80", "ee" + "ff" * 31, "00" * 32,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"])
def test_a_key_under_which_anybody_signs_is_no_key(key: str) -> None:
    """Point of small order: R = identity, s = 0 holds over many messages or all, so its owner could disown any."""
    wire = {"document": confirmation(), "signatures": [{"key": key, "value": to_b64(b"\1" + bytes(63))}]}
    with pytest.raises(DocumentError, match="small order"):
        verify_signed(wire, type="product_confirmation", keys=[key])
    with pytest.raises(DocumentError, match="/keys/signing"):
        new_document("participant", id=new_id(), number=1, name={"zh": "x", "en": "x"}, admitted_as=["consumer"],
                     keys={"signing": key, "sealing": "11" * 32, "service": None,
                           "approval": [{"scheme": "secp256k1", "address": "0x" + "11" * 20}]})


def test_json_traps_are_refused() -> None:
    for trap in ('{"a":1,"a":2}', '{"a":NaN}', "{", '{"a":1}x', "[" * 100_000, '{"a":' * 65 + "1" + "}" * 65, b"\xff"):
        with pytest.raises(DocumentError):
            load_json(trap)
    assert load_json(json.dumps({"a": "[" * 500 + '"\\' * 500})) == {"a": "[" * 500 + '"\\' * 500}
    assert load_json("[" * 64 + "]" * 64)


def test_a_depth_hides_in_no_other_encoding() -> None:
    """In UTF-16 an escaped quote looks, to who reads UTF-8, like the end of the string; `json` would have guessed."""
    hidden = '["\\"",' + "[" * 80 + "]" * 80 + ',"\\""]'
    for encoding in ("utf-8", "utf-16-le", "utf-16", "utf-32-be", "utf-8-sig"):
        with pytest.raises(DocumentError):
            load_json(hidden.encode(encoding))
    for encoding in ("utf-16-le", "utf-16", "utf-8-sig"):
        with pytest.raises(DocumentError):
            load_json('{"a":1}'.encode(encoding))


def test_a_string_that_never_ends_is_refused_at_once() -> None:
    began = time.process_time()
    for trap in ('"' + '\\"' * 100_000, '"' + '\\"' * 100_000 + "\\\n", '["' + '\\"' * 100_000 + "\\"):
        with pytest.raises(DocumentError):
            load_json(trap)
    assert time.process_time() - began < 5  # searched once; again from every quote it took minutes


def test_floats_have_no_place_in_free_json() -> None:
    base = new_document("entry", id=new_id(), kind="job.released", subject={"kind": "job", "id": "1"},
                        actor={"participant": None, "person": None}, at="2026-11-22T07:20:00Z", body={})
    for body in ({"a": 1.5}, {"a": [{"b": 0.0}]}, {"a": 2**53}):
        with pytest.raises(DocumentError, match="/body/a"):
            check({**base, "body": body}, "entry")


def test_lists_named_sorted_must_be() -> None:
    scenario = new_document(
        "scenario", id=new_id(), title={"zh": "a", "en": "a"}, purpose="p", consumer=new_id(),
        functions=[{"name": "crosstab", "version": 1}, {"name": "describe", "version": 1}], floor=10,
        by_institution=False, max_uses=1, not_before="2026-01-01T00:00:00Z", not_after="2026-01-02T00:00:00Z",
        datasets=[{"id": new_id(), "provider": new_id(), "hash": "00" * 32}], persons=[])
    changes: list[dict[str, Any]] = [
        {"functions": scenario["functions"][::-1]}, {"functions": scenario["functions"][:1] * 2},
                   {"not_after": scenario["not_before"]}, {"datasets": []}, {"floor": 0}, {"by_institution": 0}]
    for change in changes:
        with pytest.raises(DocumentError):
            check({**scenario, **change}, "scenario")


def test_every_schema_refuses_nonsense() -> None:
    for type in SCHEMAS:
        values: list[Any] = [None, [], "x", 1, {}, {"type": type, "version": 1}]
        for nonsense in values:
            with pytest.raises(DocumentError):
                check(nonsense, type)


def test_ids_on_chain_need_the_salt() -> None:
    id = new_id()
    assert chain_id_of(id, "00" * 32) != chain_id_of(id, "01" * 32)
    assert len(chain_id_of(id, "00" * 32)) == 66


@given(st.binary(max_size=80))
def test_base64url_has_one_spelling(data: bytes) -> None:
    assert from_b64(to_b64(data)) == data
    for wrong in (to_b64(data) + "=", to_b64(data) + "\n", " " + to_b64(data)):
        with pytest.raises(DocumentError):
            from_b64(wrong)


def test_base64url_with_stray_bits_is_refused() -> None:
    assert from_b64("QQ") == b"A"
    with pytest.raises(DocumentError):
        from_b64("QR")


JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**53 + 1, 2**53 - 1) | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
                    max_leaves=8)


@given(JSON)
def test_canonical_bytes_come_back_as_the_same_value(value: Any) -> None:
    data = canonical(value)
    assert load_json(data) == value
    assert canonical(load_json(data)) == data


def test_the_hash_changes_with_every_field() -> None:
    document = confirmation()
    for name, value in document.items():
        changed = copy.deepcopy(document)
        changed[name] = f"{value}x"
        assert document_hash(changed) != document_hash(document)

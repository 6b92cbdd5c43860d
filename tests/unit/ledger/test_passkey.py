"""Passkeys in Python: every hostile row under a true signature, and one spelling on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from ledger.approval import approval_by_passkey, domain_of, terms_digest, verify_approval
from ledger.errors import VerificationError
from ledger.passkey import CURVE_ORDER, Assertion, check, check_one_of, host_of
from tests.simulators.passkey import HOSTILE, SOUND, SoftKey, client_data
from tests.unit.ledger.people import People

CHALLENGE = sha256(b"approve this").digest()


@pytest.fixture
def key() -> SoftKey:
    return SoftKey.create()


def test_it_works(key: SoftKey) -> None:
    for _ in range(4):
        check(key.sign(CHALLENGE), key.public, challenge=CHALLENGE)
    check(key.sign(CHALLENGE, flags=0x1D), {**key.public, "device_bound": False}, challenge=CHALLENGE)


@pytest.mark.parametrize("name", SOUND)
def test_what_browsers_add_is_taken(key: SoftKey, name: str) -> None:
    check(SOUND[name](key, CHALLENGE), key.public, challenge=CHALLENGE)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_under_a_true_signature_are_refused(key: SoftKey, name: str) -> None:
    with pytest.raises(VerificationError) as caught:
        check(HOSTILE[name](key, CHALLENGE), key.public, challenge=CHALLENGE)
    assert caught.value.code.startswith("passkey.")


def test_python_reads_the_client_data_to_its_end(key: SoftKey) -> None:
    """What the contract lets pass, for it reads no JSON; nothing is permitted unless both take it."""
    start = client_data(CHALLENGE, key.origin)[:-1]
    for rest in (b',"challenge":"x"}', b',"a":}', b',"a":1,"a":2}', b',}', b',"a":' + b"[" * 900 + b"]" * 900 + b"}",
                 b',"a":NaN}', b',"\xff":1}'):
        with pytest.raises(VerificationError, match=r"passkey\.client_data"):
            check(key.sign_raw(client=start + rest), key.public, challenge=CHALLENGE)


def test_each_key_has_its_page(key: SoftKey) -> None:
    for change in ({"origin": "https://portal.example"}, {"origin": "https://office.example:444"},
                   {"rp_id": "example"}, {"rp_id": "portal.example"}, {"x": "00" * 32},
                   {"origin": "https://example", "rp_id": "example"}):
        with pytest.raises(VerificationError):
            check(key.sign(CHALLENGE), {**key.public, **change}, challenge=CHALLENGE)
    parent = key.sign(CHALLENGE, host="example")
    with pytest.raises(VerificationError, match=r"passkey\.rp_id"):  # a key made for the parent domain
        check(parent, {**key.public, "rp_id": "example"}, challenge=CHALLENGE)


@pytest.mark.parametrize("origin", [
    "", "https://", "http://office.example", "http://localhost.evil.example", "https://Office.example",
    "https://office.example/", "https://office.example:", "https://office.example:080", "https://office.example:123456",
    'https://office"', "https://office.example\n", "https://[::1]", "office.example", "https://" + "a" * 130])
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(VerificationError, match=r"passkey\.origin"):
        host_of(origin)


def test_hosts() -> None:
    assert [host_of(one) for one in ("https://office.example:8443", "http://localhost:8455", "https://portal")] \
        == ["office.example", "localhost", "portal"]


def test_every_changed_bit_is_refused(key: SoftKey) -> None:
    blob = key.sign(CHALLENGE).encode()
    check(Assertion.decode(blob), key.public, challenge=CHALLENGE)
    for place in range(0, 8 * len(blob), 3):
        changed = bytearray(blob)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(VerificationError):
            check(Assertion.decode(bytes(changed)), key.public, challenge=CHALLENGE)


def test_the_blob_has_one_spelling(key: SoftKey) -> None:
    blob = key.sign(CHALLENGE).encode()
    assert Assertion.decode(blob).encode() == blob
    for wrong in (b"", blob[:-1], blob[:-32], blob + b"\0", blob + bytes(32), bytes(65), blob[32:], bytes(2**16)):
        with pytest.raises(VerificationError, match=r"passkey\.form"):
            Assertion.decode(wrong)
    for place in (5, 6, 7):  # an offset or a length that points far away
        with pytest.raises(VerificationError, match=r"passkey\.form"):
            Assertion.decode(blob[:32 * place] + b"\xff" * 32 + blob[32 * place + 32:])


def test_the_blob_is_the_abi_encoding(key: SoftKey) -> None:
    from eth_abi.abi import encode

    one = key.sign(CHALLENGE)
    theirs = encode(["(uint256,uint256,uint256,uint256,bytes,bytes)"], [
        (one.x, one.y, one.r, one.s, one.authenticator_data, one.client_data)])
    assert one.encode() == theirs


def test_from_the_browser_the_higher_s_is_turned(key: SoftKey) -> None:
    seen = set()
    for _ in range(40):
        der, authenticator, client = key.answer(CHALLENGE)
        made = Assertion.from_browser(key.public["x"] + key.public["y"], signature=der,
                                      authenticator_data=authenticator, client_data=client)
        check(made, key.public, challenge=CHALLENGE)
        seen.add(der[-32:] != made.s.to_bytes(32))
    assert seen == {True, False}, "both halves were met"
    for junk in (b"", b"\x30\x00", bytes.fromhex("3006020100020101"), bytes.fromhex("3006020101020100")):
        with pytest.raises(VerificationError):
            Assertion.from_browser(key.public["x"] + key.public["y"], signature=junk,
                                   authenticator_data=b"", client_data=b"")


def test_off_the_curve_or_out_of_range(key: SoftKey) -> None:
    good = key.sign(CHALLENGE)
    for change in ({"r": 0}, {"s": 0}, {"r": CURVE_ORDER}, {"s": CURVE_ORDER - good.s}):
        with pytest.raises(VerificationError, match=r"passkey\.signature"):
            check(replace(good, **change), key.public, challenge=CHALLENGE)
    for x, y in ((good.x, good.y ^ 1), (2**256 - 1, good.y), (0, 0)):
        wrong = replace(good, x=x, y=y)
        with pytest.raises(VerificationError, match=r"passkey\.signature"):
            check(wrong, {**key.public, "x": f"{x:064x}", "y": f"{y:064x}"}, challenge=CHALLENGE)


# --- approvals

ACCOUNT = "0x" + "ac" * 20
SIGN_BY = 1_795_420_800


@pytest.fixture
def terms(people: People) -> dict[str, Any]:
    return dict(people.grants()[0]["terms"])


@pytest.fixture
def approve_with(people: People, terms: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    def approve(key: SoftKey, *, account: str = ACCOUNT, over: str = ACCOUNT) -> dict[str, Any]:
        nonce = "0x" + "07" * 32
        value = terms_digest(domain_of(people.trust), terms, role="regulator", decider=over, nonce=nonce,
                             sign_by=SIGN_BY)
        return approval_by_passkey(terms, account, key.sign(value), role="regulator", nonce=nonce, sign_by=SIGN_BY)
    return approve


def test_an_approval_by_passkey(people: People, key: SoftKey, terms: dict[str, Any],
                                approve_with: Callable[..., dict[str, Any]]) -> None:
    domain = domain_of(people.trust)
    spare, passkeys = SoftKey.create(), {ACCOUNT: [key.public]}
    approval = approve_with(key)
    assert json.loads(json.dumps(approval)) == approval
    assert verify_approval(terms, approval, domain=domain, role="regulator", passkeys=passkeys) == ACCOUNT
    both = {ACCOUNT: [key.public, spare.public]}
    assert verify_approval(terms, approve_with(spare), domain=domain, passkeys=both) == ACCOUNT
    for wrong, known in (
            (approval, {}), (approval, {"0x" + "ad" * 20: [key.public]}), (approve_with(spare), passkeys),
            ({**approval, "nonce": "0x" + "08" * 32}, passkeys), ({**approval, "sign_by": SIGN_BY + 1}, passkeys),
            ({**approval, "public_key": spare.public["x"] + spare.public["y"]}, passkeys),
            ({**approval, "scheme": "secp256k1"}, passkeys), ({**approval, "scheme": "none"}, passkeys),
            ({**approval, "signature": "0x" + "11" * 65}, passkeys)):
        with pytest.raises(VerificationError):
            verify_approval(terms, wrong, domain=domain, passkeys=known)


def test_a_key_in_two_accounts_decides_for_the_one_it_named(people: People, key: SoftKey, terms: dict[str, Any],
                                                            approve_with: Callable[..., dict[str, Any]]) -> None:
    other = "0x" + "ad" * 20
    moved = approve_with(key, account=other, over=ACCOUNT)
    with pytest.raises(VerificationError):
        verify_approval(terms, moved, domain=domain_of(people.trust),
                        passkeys={ACCOUNT: [key.public], other: [key.public]})


def test_a_passkey_account_has_no_other_scheme(people: People) -> None:
    """An account of passkeys never speaks by a secp256k1 signature, whatever address that would have."""
    grant = people.grants()[0]
    office = grant["approval"]["decider"]
    with pytest.raises(VerificationError, match=r"approval\.wrong_signer"):
        verify_approval(grant["terms"], grant["approval"], domain=domain_of(people.trust), passkeys={office: []})


def test_one_of_several(key: SoftKey) -> None:
    with pytest.raises(VerificationError, match=r"passkey\.other_key"):
        check_one_of(key.sign(CHALLENGE), [SoftKey.create().public], challenge=CHALLENGE)

"""One person's account on a real chain: the same bytes asked of contract and Python, and a grant decided by both.

The keys are in software here; tests/browser/test_passkey.py asks a browser for its own.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any

import pytest

from ledger.approval import approval_by_passkey, grant_chain_id, terms_digest, verify_approval
from ledger.deployment import deploy_contracts, deploy_passkey_account
from ledger.errors import ChainRefused, VerificationError
from ledger.keys import EthKey
from ledger.passkey import Assertion, check
from tests.integration.chain_space import ChainSpace
from tests.simulators.passkey import HOSTILE, SOUND, SoftKey, client_data

pytestmark = pytest.mark.stack
NOBODY = "0x" + "00" * 20
CHALLENGE = sha256(b"approve this").digest()


@pytest.fixture(scope="module")
def keys() -> list[SoftKey]:
    return [SoftKey.create(), SoftKey.create()]


@pytest.fixture(scope="module")
def account(chain_space: ChainSpace, keys: list[SoftKey]) -> str:
    return deploy(chain_space, keys)


def deploy(space: ChainSpace, keys: list[SoftKey], *, guardian: str = NOBODY, delay: int = 172_800,
           **changes: Any) -> str:
    return deploy_passkey_account(space.chain, EthKey.create(), keys=[{**one.public, **changes} for one in keys],
                                  guardian=guardian, space_salt=space.grants.salt, delay=delay)


def on_chain(space: ChainSpace, account: str, assertion: Assertion, challenge: bytes = CHALLENGE) -> bool:
    return space.chain.account_accepts(account, challenge, "0x" + assertion.encode().hex())


def in_python(key: SoftKey, assertion: Assertion, challenge: bytes = CHALLENGE, **changes: Any) -> bool:
    try:
        check(assertion, {**key.public, **changes}, challenge=challenge)
    except VerificationError:
        return False
    return True


def test_it_works(chain_space: ChainSpace, account: str, keys: list[SoftKey]) -> None:
    for key in keys:
        assert on_chain(chain_space, account, key.sign(CHALLENGE))
        assert not on_chain(chain_space, account, key.sign(CHALLENGE), sha256(b"another").digest())
    found = chain_space.chain.passkey_account(account, "latest")
    assert (found.guardian, found.device_bound, found.delay) == (NOBODY, True, 172_800)
    assert dict(found.keys) == {key.sign(CHALLENGE).key_id: key.origin for key in keys}


@pytest.mark.parametrize("name", [*SOUND, *HOSTILE])
def test_contract_and_python_agree(chain_space: ChainSpace, account: str, keys: list[SoftKey], name: str) -> None:
    assertion = {**SOUND, **HOSTILE}[name](keys[0], CHALLENGE)
    assert on_chain(chain_space, account, assertion) == in_python(keys[0], assertion) == (name in SOUND)


def test_a_second_challenge_behind_the_first(chain_space: ChainSpace, account: str, keys: list[SoftKey]) -> None:
    """The one known difference: the contract reads no JSON. Python's refusal stands, and a node asks Python."""
    twice = client_data(CHALLENGE, keys[0].origin)[:-1] + b',"challenge":"AAAA"}'
    assertion = keys[0].sign_raw(client=twice)
    assert on_chain(chain_space, account, assertion)
    assert not in_python(keys[0], assertion)


def test_changed_bits_are_refused_by_both(chain_space: ChainSpace, account: str, keys: list[SoftKey]) -> None:
    blob = keys[0].sign(CHALLENGE).encode()
    for place in range(32, len(blob), 9):
        changed = bytearray(blob)
        changed[place] ^= 1 << secrets.randbelow(8)
        assert not chain_space.chain.account_accepts(account, CHALLENGE, "0x" + changed.hex())
        try:
            assert not in_python(keys[0], Assertion.decode(bytes(changed)))
        except VerificationError as refused:
            assert refused.code == "passkey.form"


def test_a_synced_key_where_the_account_takes_it(chain_space: ChainSpace, keys: list[SoftKey]) -> None:
    account = deploy(chain_space, keys, device_bound=False)
    synced = keys[0].sign(CHALLENGE, flags=0x1D)
    assert on_chain(chain_space, account, synced)
    assert in_python(keys[0], synced, device_bound=False)


def test_another_account_than_the_record_says(chain_space: ChainSpace, account: str, keys: list[SoftKey]) -> None:
    """Whoever deploys could slip in a key of its own, or leave the pages open: who admits compares."""
    chain_space.chain.check_passkey_account(account, [one.public for one in keys], block="latest")
    slipped_in = deploy(chain_space, [*keys, SoftKey.create()])
    with pytest.raises(VerificationError, match=r"passkey\.other_account"):
        chain_space.chain.check_passkey_account(slipped_in, [one.public for one in keys], block="latest")
    for change in ({"origin": "https://portal.example"}, {"device_bound": False}):
        with pytest.raises(VerificationError, match=r"passkey\.other_account"):
            chain_space.chain.check_passkey_account(
                account, [{**one.public, **change} for one in keys], block="latest")
    with pytest.raises(VerificationError, match=r"chain\.wrong"):
        chain_space.chain.check_passkey_account(chain_space.deployed["grants"]["address"], [], block="latest")


def test_an_account_whose_deployer_kept_a_way_in(chain_space: ChainSpace, keys: list[SoftKey]) -> None:
    """With the right keys, but a guardian of its own who proposes another, or no time in which to say no."""
    shown, chain = [one.public for one in keys], chain_space.chain
    for wrong in ({"guardian": chain_space.stranger.address}, {"delay": 1}):
        account = deploy(chain_space, keys, **wrong)
        with pytest.raises(VerificationError, match=r"passkey\.other_account"):
            chain.check_passkey_account(account, shown, block="latest")
    watched = deploy(chain_space, keys, guardian=chain_space.regulator.address)
    chain.check_passkey_account(watched, shown, guardians=[chain_space.regulator.address], block="latest")


def test_an_account_needs_two_keys_on_pages_of_their_own(chain_space: ChainSpace, keys: list[SoftKey]) -> None:
    for wrong in ([keys[0]], [keys[0], keys[0]], [keys[0], SoftKey.create(origin="http://office.example")]):
        with pytest.raises(ChainRefused):
            deploy(chain_space, wrong)


def test_a_grant_by_one_passkey_in_two_accounts(chain_space: ChainSpace, keys: list[SoftKey]) -> None:
    """The person signs twice, once for each office; neither signature serves for the other."""
    office, hospital = deploy(chain_space, keys), deploy(chain_space, keys)
    deployed = deploy_contracts(chain_space.chain, EthKey.create(), admin=chain_space.regulator.address,
                                operator=chain_space.operator.address, space_salt=chain_space.grants.salt,
                                regulators=[office])
    space = ChainSpace(chain_space.chain, deployed, chain_space.space_id, chain_space.deployer,
                       chain_space.regulator, chain_space.operator)
    try:
        _decide_in_both_offices(space, keys, office, hospital)
    finally:
        chain_space.chain.contracts.update({name: one["address"] for name, one in chain_space.deployed.items()})


def _decide_in_both_offices(space: ChainSpace, keys: list[SoftKey], office: str, hospital: str) -> None:
    terms = space.terms() | {"custodian_approver": hospital}

    def decide(role: str, account: str, key: SoftKey) -> dict[str, Any]:
        given: dict[str, Any] = {
            "role": role, "nonce": "0x" + secrets.token_hex(32), "sign_by": space.approval(terms)["sign_by"],
            "service": space.service.address if role == "custodian" else None}
        value = terms_digest(space.grants, terms, decider=account, **given)
        return approval_by_passkey(terms, account, key.sign(value), **given)

    approval, consent = decide("regulator", office, keys[0]), decide("custodian", hospital, keys[0])
    for first, second in (
            (approval, consent | {"signature": approval["signature"]}),
            (approval | {"signature": consent["signature"]}, consent),
            (approval, decide("custodian", office, keys[0]) | {"decider": hospital})):
        with pytest.raises(ChainRefused, match="BadSigner"):
            space.register(terms, first, second)
    grant_id = space.register(terms, approval, consent)
    assert grant_id == grant_chain_id(terms)
    assert space.chain.is_active(grant_id)
    passkeys = {one: [key.public for key in keys] for one in (office, hospital)}
    for one in (approval, consent):
        assert verify_approval(terms, one, domain=space.grants, passkeys=passkeys) == one["decider"]

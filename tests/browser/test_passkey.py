"""Passkeys as a browser gives them: Chromium's virtual authenticators sign, contract and Python verify the same bytes.

The page is as small as can be and is served on http://localhost, where WebAuthn works without a certificate; it is not
the signing desk that people will use. No real authenticator is touched.
"""

from __future__ import annotations

import secrets
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page
from playwright.sync_api import Error as BrowserError

from ledger.approval import (
    REVOCATION_TYPE,
    approval_by_passkey,
    digest,
    grant_chain_id,
    signed_by_passkey,
    terms_digest,
    verify_approval,
    verify_digest,
)
from ledger.deployment import deploy_contracts, deploy_passkey_account
from ledger.errors import VerificationError
from ledger.keys import EthKey
from ledger.passkey import Assertion, check
from tests.integration.chain_fixtures import chain_space, devchain
from tests.integration.chain_space import ChainSpace

__all__ = ["chain_space", "devchain"]
pytestmark = [pytest.mark.browser, pytest.mark.stack]

ASSERTIONS = 200  # the member that Chromium adds comes in a fifth of them, the higher s in half
CREATE = """async ([exclude, user]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const text = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
  const made = await navigator.credentials.create({publicKey: {
    rp: {id: location.hostname, name: location.hostname}, user: {id: new TextEncoder().encode(user), name: user,
    displayName: user}, challenge: crypto.getRandomValues(new Uint8Array(32)),
    pubKeyCredParams: [{type: "public-key", alg: -7}], excludeCredentials: exclude.map((id) => ({
    type: "public-key", id: bytes(id)})), authenticatorSelection: {userVerification: "required"}}});
  return {id: text(made.rawId), spki: text(made.response.getPublicKey())};
}"""
GET = """async ([id, challenge, verification]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const text = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
  const made = await navigator.credentials.get({publicKey: {rpId: location.hostname, challenge: bytes(challenge),
    userVerification: verification, allowCredentials: [{type: "public-key", id: bytes(id)}]}});
  const answer = made.response;
  return {signature: text(answer.signature), data: text(answer.authenticatorData), client: text(answer.clientDataJSON)};
}"""


class Office(BaseHTTPRequestHandler):
    """A page with nothing on it."""

    def do_GET(self) -> None:
        page = b"<!doctype html><title>office</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Person:
    """Somebody at the office's page, with two authenticators."""

    page: Page
    devices: CDPSession
    origin: str
    names: list[str]
    ids: list[str]
    keys: list[dict[str, Any]]

    def answer(self, which: int, challenge: bytes, *, verification: str = "required") -> tuple[bytes, bytes, bytes]:
        """What the browser gives: DER, authenticator data, client data."""
        for other, name in enumerate(self.names):  # one who has two keys touches the one that is asked for
            touch(self, name, other == which)
        made = self.page.evaluate(GET, [self.ids[which], _b64(challenge), verification])
        return b64decode(made["signature"]), b64decode(made["data"]), b64decode(made["client"])

    def sign(self, which: int, challenge: bytes, **options: str) -> Assertion:
        der, data, client = self.answer(which, challenge, **options)
        return Assertion.from_browser(self.keys[which]["x"] + self.keys[which]["y"], signature=der,
                                      authenticator_data=data, client_data=client)


def _b64(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


@pytest.fixture(scope="module")
def person(chromium: Browser) -> Iterator[Person]:
    server = HTTPServer(("127.0.0.1", 0), Office)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://localhost:{server.server_address[1]}"
    context = chromium.new_context()
    page = context.new_page()
    page.goto(origin)
    devices = context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    made = Person(page, devices, origin, [], [], [])
    for transport in ("internal", "usb"):
        enrol(made, transport)
    yield made
    context.close()
    server.shutdown()
    server.server_close()


def enrol(person: Person, transport: str) -> None:
    """A key on an authenticator of its own: those that hold one already are named and must refuse."""
    device = person.devices.send("WebAuthn.addVirtualAuthenticator", {"options": {
        "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": transport, "hasUserVerification": True,
        "isUserVerified": True}})["authenticatorId"]
    for other in person.names:
        touch(person, other, False)
    made = person.page.evaluate(CREATE, [person.ids, "decider"])
    point = b64decode(made["spki"])[-64:]
    person.names.append(device)
    person.ids.append(made["id"])
    person.keys.append({"x": point[:32].hex(), "y": point[32:].hex(), "rp_id": "localhost", "origin": person.origin,
                        "device_bound": True})


def touch(person: Person, device: str, enabled: bool) -> None:
    person.devices.send("WebAuthn.setAutomaticPresenceSimulation", {"authenticatorId": device, "enabled": enabled})


@pytest.fixture(scope="module")
def space(chain_space: ChainSpace, person: Person) -> Iterator[ChainSpace]:
    """A space whose one regulator, and whose custodian, decide by passkey."""
    chain = chain_space.chain
    account = deploy_passkey_account(chain, EthKey.create(), keys=person.keys, guardian=chain_space.regulator.address,
                                     space_salt=chain_space.grants.salt)
    deployed = deploy_contracts(chain, EthKey.create(), admin=chain_space.regulator.address, regulators=[account],
                                operator=chain_space.operator.address, space_salt=chain_space.grants.salt)
    yield ChainSpace(chain, deployed | {"account": {"address": account}}, chain_space.space_id,
                     chain_space.deployer, chain_space.regulator, chain_space.operator)
    chain.contracts.update({name: one["address"] for name, one in chain_space.deployed.items()})


def test_a_grant_is_approved_with_a_passkey(space: ChainSpace, person: Person) -> None:
    """Page, assertion, account (ERC-1271), registry; and the same bytes in Python."""
    account, terms = space.deployed["account"]["address"], space.terms()
    nonce, sign_by = "0x" + secrets.token_hex(32), int(time.time()) + 600
    for which in (0, 1):
        value = terms_digest(space.grants, terms, role="regulator", decider=account, nonce=nonce, sign_by=sign_by)
        approval = approval_by_passkey(terms, account, person.sign(which, value), role="regulator", nonce=nonce,
                                       sign_by=sign_by)
        assert space.chain.account_accepts(account, value, approval["signature"])
        assert verify_approval(terms, approval, domain=space.grants, passkeys={account: person.keys}) == account
    grant_id = space.register(terms, approval)
    grant = space.chain.grant(grant_id, "latest")
    assert grant is not None
    assert grant.regulator == account
    assert space.chain.is_active(grant_id)
    reason = "0x" + secrets.token_hex(32)
    value = digest(space.grants, REVOCATION_TYPE, grant_chain_id(terms), reason, account)
    revocation = signed_by_passkey(account, person.sign(0, value))
    verify_digest(value, revocation, {account: person.keys})
    space.send(space.chain.sign_revoke(space.stranger, space.nonce(space.stranger), grant_id=grant_id,
                                       reason_hash=reason, decider=account, signature=revocation["signature"]))
    assert space.chain.is_revoked(grant_id)


def test_every_shape_that_chromium_sends(space: ChainSpace, person: Person) -> None:
    """Members behind crossOrigin in some, the higher s in half: all are taken, by both; a template would not do."""
    account, added, higher = space.deployed["account"]["address"], 0, 0
    for number in range(ASSERTIONS):
        challenge = secrets.token_bytes(32)
        which = number % 2
        der, data, client = person.answer(which, challenge)
        made = Assertion.from_browser(person.keys[which]["x"] + person.keys[which]["y"], signature=der,
                                      authenticator_data=data, client_data=client)
        added += b"other_keys_can_be_added_here" in client
        higher += not der.endswith(made.s.to_bytes(32).lstrip(b"\0"))
        check(made, person.keys[which], challenge=challenge)
        assert space.chain.account_accepts(account, challenge, "0x" + made.encode().hex())
        assert not space.chain.account_accepts(account, secrets.token_bytes(32), "0x" + made.encode().hex())
    assert 0 < added < ASSERTIONS
    assert 0 < higher < ASSERTIONS


def test_who_was_not_verified_decides_nothing(space: ChainSpace, person: Person) -> None:
    """With "discouraged" the browser gives a true signature without the person: only the flag tells."""
    account, challenge, device = space.deployed["account"]["address"], secrets.token_bytes(32), person.names[0]
    person.devices.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    try:
        with pytest.raises(BrowserError, match="NotAllowedError"):
            person.sign(0, challenge)
        lax = person.sign(0, challenge, verification="discouraged")
    finally:
        person.devices.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    with pytest.raises(VerificationError, match=r"passkey\.not_verified"):
        check(lax, person.keys[0], challenge=challenge)
    assert not space.chain.account_accepts(account, challenge, "0x" + lax.encode().hex())


def test_the_second_key_is_on_another_device(person: Person) -> None:
    """An authenticator that holds one of the account's keys refuses to make another."""
    touch(person, person.names[0], True)
    touch(person, person.names[1], False)
    with pytest.raises(BrowserError, match="InvalidStateError"):
        person.page.evaluate(CREATE, [person.ids[:1], "decider"])

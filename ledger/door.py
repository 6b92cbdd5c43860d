"""The one HTTP client to the portal, for nodes and the SDK, and the other half: what the portal checks of a request.

Requests are signed after RFC 9421 with the participant's Ed25519 key over method, target URI, the body's digest and the
idempotency key. Answers are not signed: whatever the portal says is material to verify, never a reason to trust. Says
"refused" and "could not ask" with different errors; repeats nothing by itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

from ledger.documents import load_json
from ledger.errors import DocumentError, PortalRefused, PortalUnavailable, VerificationError

TAG = "xinglin"
API = "/api/v1"
MAX_AGE = timedelta(seconds=60)
CLOCK_SKEW = timedelta(seconds=30)
REPLAY_WINDOW = MAX_AGE + 2 * CLOCK_SKEW
"""How long the portal must remember a nonce: after this the request is too old anyway."""
BASE_COMPONENTS = ("@method", "@target-uri")
LARGEST_ANSWER = 64 << 20
LATER = frozenset({408, 425, 429})


@dataclass
class _Message:
    """What is signed of a request; the signer adds its headers here."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class _Key(HTTPSignatureKeyResolver):
    def __init__(self, private: Ed25519PrivateKey | None = None,
                 key_of: Callable[[str], str | None] | None = None) -> None:
        self._private, self._key_of = private, key_of

    def resolve_private_key(self, key_id: str) -> Any:
        return self._private

    def resolve_public_key(self, key_id: str) -> Any:
        found = self._key_of(key_id) if self._key_of else None
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(found)) if found else None


@dataclass(frozen=True)
class VerifiedRequest:
    """Who signed, and the nonce that the caller must see only once in REPLAY_WINDOW."""

    keyid: str
    nonce: str
    created: int


def _components(headers: Mapping[str, str]) -> tuple[str, ...]:
    present = {name.lower() for name in headers}
    return BASE_COMPONENTS + (("idempotency-key",) if "idempotency-key" in present else ())


def sign_request(message: _Message, body: bytes | None, *, participant: str, key: Ed25519PrivateKey) -> None:
    """Put Content-Digest, Signature-Input and Signature into the message's headers."""
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Key(private=key))
    signer.sign(message, key_id=participant, nonce=secrets.token_urlsafe(18), tag=TAG, label="xinglin",
                covered_component_ids=_components(message.headers), body=body)


def verify_request(method: str, url: str, headers: Mapping[str, str], body: bytes, *,
                   key_of: Callable[[str], str | None]) -> VerifiedRequest:
    """Raise VerificationError unless exactly one signature of ours is on this request, young and whole.

    `key_of` gives the participant's signing key (hex), or None for nobody known. An idempotency key must be covered
    when there is one, the digest when there is a body.
    """
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_Key(key_of=key_of))
    verifier.max_clock_skew = CLOCK_SKEW
    try:
        results = verifier.verify(_Message(method, url, dict(headers)), max_age=MAX_AGE, expect_tag=TAG,
                                  require_components=_components(headers), body=body)
    except HTTPMessageSignaturesException as trouble:
        raise VerificationError("http.signature", f"the request's signature does not hold: {trouble}") from trouble
    if len(results) != 1:
        raise VerificationError("http.signature", "the request carries more than one signature")
    parameters = results[0].parameters
    nonce = results[0].nonce
    if nonce is None or not 16 <= len(nonce) <= 64:
        raise VerificationError("http.signature", "the signature has no nonce of 16 to 64 characters")
    return VerifiedRequest(str(parameters["keyid"]), nonce, int(parameters["created"]))


class Door:
    """A participant's way to the portal. Paths are those under /api/v1, or whole ones that begin with it."""

    def __init__(self, base_url: str, participant: str, key: Ed25519PrivateKey, *, timeout: float = 30.0,
                 client: httpx.Client | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.participant = participant
        self._key = key
        self._client = client or httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *trouble: object) -> None:
        self.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None, *, timeout: float | None = None) -> Any:
        return self._parsed(self._send("GET", path, params=params, timeout=timeout))

    def get_text(self, path: str, params: Mapping[str, str | int] | None = None) -> str:
        """For the few answers that are no JSON, such as the log's checkpoint."""
        return self._send("GET", path, params=params).text

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None,
             timeout: float | None = None) -> Any:
        return self._parsed(self._send("POST", path, body=dict(body or {}), idempotency_key=idempotency_key,
                                       timeout=timeout))

    def _url(self, path: str, params: Mapping[str, str | int] | None) -> str:
        whole = path if path.startswith(("/api/", "/healthz")) else API + path
        query = httpx.QueryParams(dict(params)) if params else ""
        return str(httpx.URL(self.base_url + whole + (f"?{query}" if query else "")))

    def _send(self, method: str, path: str, *, params: Mapping[str, str | int] | None = None,
              body: dict[str, Any] | None = None, idempotency_key: str | None = None,
              timeout: float | None = None) -> httpx.Response:
        message = _Message(method, self._url(path, params), {"Accept": "application/json"})
        if idempotency_key is not None:
            message.headers["Idempotency-Key"] = idempotency_key
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            message.headers["Content-Type"] = "application/json"
        sign_request(message, data, participant=self.participant, key=self._key)
        try:
            with self._client.stream(
                    method, message.url, content=data, headers=message.headers,
                    timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout) as response:
                _read(response, f"{method} {path}")
        except httpx.HTTPError as trouble:
            raise PortalUnavailable(f"{method} {path}: {type(trouble).__name__}: {trouble}") from trouble
        if response.status_code >= 300:
            raise _refusal(response, f"{method} {path}")
        return response

    @staticmethod
    def _parsed(response: httpx.Response) -> Any:
        if not response.content:
            return None
        try:
            return load_json(response.content)
        except DocumentError as trouble:
            raise PortalUnavailable("the portal's answer is not JSON") from trouble


def _read(response: httpx.Response, asked: str) -> None:
    """The whole answer, unless it is larger than any of ours: a portal must not fill its callers' memory."""
    size, chunks = 0, []
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > LARGEST_ANSWER:
            limit = LARGEST_ANSWER >> 20
            raise PortalUnavailable(f"{asked}: the answer is larger than {limit} MiB", "portal.too_large")
        chunks.append(chunk)
    response._content = b"".join(chunks)


def _refusal(response: httpx.Response, asked: str) -> PortalRefused | PortalUnavailable:
    try:
        problem = load_json(response.content)
    except DocumentError:
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    code, detail = str(problem.get("code") or ""), str(problem.get("detail") or problem.get("title") or "")
    if response.status_code >= 500 or response.status_code in LATER:
        return PortalUnavailable(f"{asked}: {response.status_code} {detail}".strip(), code or "portal.unavailable",
                                 status=response.status_code)
    if response.status_code == 401 and (ahead := _ahead(response)) is not None:
        code, which = "clock.skew", "ahead of" if ahead > 0 else "behind"
        detail = f"this machine's clock is {abs(ahead):.0f} s {which} the portal's: {detail}"
    return PortalRefused(response.status_code, code or f"http.{response.status_code}",
                         detail or f"{asked}: {response.status_code}", str(problem.get("request_id") or ""), problem)


def _ahead(response: httpx.Response) -> float | None:
    """By how many seconds our clock is ahead of the one that answered, when that is more than a request may be off:
    what the portal calls a wrong signature is then a wrong clock. A hint for people, never a reason to trust."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    ahead = (datetime.now(UTC) - theirs.replace(tzinfo=theirs.tzinfo or UTC)).total_seconds()
    return ahead if abs(ahead) > CLOCK_SKEW.total_seconds() else None

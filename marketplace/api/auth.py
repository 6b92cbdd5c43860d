"""Who acts by a signed request (RFC 9421, Ed25519). A nonce is seen once.

The key is the participant's on record; the regulator's and the dealer's are the trust file's alone.
"""

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from dataspace.actor import Actor
from dataspace.errors import Denied
from dataspace.participants.queries import actor_for_key, signing_key_by_id
from dataspace.provenance import space
from ledger.documents import load_json
from ledger.door import verify_request
from ledger.errors import LedgerError
from marketplace.api.models import Nonce

MAX_BODY = 12_000_000


class Caller:
    """What DRF calls the user: an actor behind a verified signature."""

    is_authenticated = True

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.pk = actor.participant_id


def _uuid(value: str) -> UUID | None:
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if str(found) == value else None


class SignatureAuthentication(BaseAuthentication):
    """Verifies the request's signature, its age and its nonce."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        if "Signature" not in request.headers:
            return None
        inner = request._request
        try:
            size = int(request.headers.get("Content-Length") or 0)
        except ValueError:
            size = MAX_BODY + 1
        if size > MAX_BODY:
            raise AuthenticationFailed("the body is too long", code="http.too_long")
        try:
            verified = verify_request(
                inner.method or "",
                inner.build_absolute_uri(),
                dict(inner.headers),
                inner.body,
                key_of=lambda keyid: self.key_of(keyid, inner.body),
            )
        except LedgerError as trouble:
            raise AuthenticationFailed(trouble.message, code=trouble.code) from trouble
        _see_once(verified.keyid, verified.nonce)
        return Caller(self.actor_of(UUID(verified.keyid))), None

    def authenticate_header(self, request: Request) -> str:
        return 'Signature realm="xinglin"'

    def key_of(self, keyid: str, body: bytes) -> str | None:
        found = _uuid(keyid)
        return signing_key_by_id(found) if found else None

    def actor_of(self, participant_id: UUID) -> Actor:
        return actor_for_key(participant_id, regulator_id=space.regulator_id())


class EnrolAuthentication(SignatureAuthentication):
    """An application is signed with the key in its own record; whoever is known already signs with the known key."""

    def key_of(self, keyid: str, body: bytes) -> str | None:
        known = super().key_of(keyid, body)
        if known is not None:
            return known
        try:
            document = load_json(body)["record"]["document"]
            own = document["keys"]["signing"]
            named = document["id"] == keyid and _uuid(keyid) is not None
        except (LedgerError, KeyError, TypeError):
            return None
        return own if named and isinstance(own, str) and _is_key(own) else None

    def actor_of(self, participant_id: UUID) -> Actor:
        return Actor(participant_id=participant_id)


def _is_key(value: str) -> bool:
    return len(value) == 64 and all(letter in "0123456789abcdef" for letter in value)


def _see_once(keyid: str, nonce: str) -> None:
    try:
        with transaction.atomic():
            Nonce.objects.create(keyid=keyid, nonce=nonce, seen_at=timezone.now())
    except IntegrityError as trouble:
        raise AuthenticationFailed("this request was sent before", code="http.replayed") from trouble


class Signed(BasePermission):
    """Somebody signed the request; what they may do is the areas' to say, but a suspended participant may little."""

    def has_permission(self, request: Request, view: object) -> bool:
        caller: Any = request.user
        if not isinstance(caller, Caller):
            return False
        if caller.actor.suspended and not getattr(view, "open_while_suspended", False):
            text = "the regulator suspended this participant"
            raise Denied(text, code="participant.suspended", who_must_act="regulator")
        return True


def actor_of(request: Request) -> Actor:
    """The actor of a request that passed `Signed`."""
    caller: Any = request.user
    return caller.actor if isinstance(caller, Caller) else Actor(participant_id=None)

"""The same request again gets the same answer again: a key belongs to one participant and one request."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from hashlib import sha256
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.errors import Conflict, Invalid
from marketplace.api.auth import actor_of
from marketplace.api.models import IdempotencyKey

IN_FLIGHT = timedelta(seconds=60)
KEPT = timedelta(days=2)
View = Callable[..., Response]


def idempotent(view: View) -> View:
    """For a `post` that may carry Idempotency-Key; the signature covers it."""

    @wraps(view)
    def answer(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(self, request, *args, **kwargs)
        if not 1 <= len(key) <= 128:
            raise Invalid("an idempotency key has 1 to 128 characters", code="idempotency.key")
        row, known = _claim(request, key)
        if known is not None:
            return known
        try:
            response = view(self, request, *args, **kwargs)
        except BaseException:
            row.delete()
            raise
        IdempotencyKey.objects.filter(pk=row.pk).update(status=response.status_code, body=response.data)
        return response

    return answer


def _claim(request: Request, key: str) -> tuple[IdempotencyKey, Response | None]:
    """Our own row to answer under, or the answer that was given before."""
    now, inner = timezone.now(), request._request
    asked = sha256(f"{inner.method}\n{inner.get_full_path()}\n".encode() + inner.body).hexdigest()
    who = actor_of(request).organisation
    try:
        with transaction.atomic():
            fresh = IdempotencyKey.objects.create(participant_id=who, key=key, request_hash=asked, created_at=now)
            return fresh, None
    except IntegrityError:
        row = IdempotencyKey.objects.filter(participant_id=who, key=key).first()
    if row is None:
        raise Conflict("the first request with this key has just failed; send it again", code="idempotency.in_flight")
    if row.request_hash != asked:
        raise Invalid("this key was used for another request", code="idempotency.key_reused")
    if row.status is not None:
        return row, Response(row.body, status=row.status)
    taken = IdempotencyKey.objects.filter(pk=row.pk, status=None, created_at=row.created_at)
    if row.created_at > now - IN_FLIGHT or taken.update(created_at=now) != 1:
        raise Conflict("the first request with this key is being answered", code="idempotency.in_flight")
    return row, None


def forget() -> None:
    """Drop what nobody will ask for again."""
    IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT).delete()

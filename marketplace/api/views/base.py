"""What every view of the API shares: who acts, when, and how a list is answered."""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from math import isfinite
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dataspace.actor import Actor
from dataspace.errors import Invalid
from marketplace.api.auth import actor_of
from marketplace.api.schemas import Json, ProblemSchema

Row = TypeVar("Row")
MAX_ROWS = 1000
PROBLEMS = dict.fromkeys((401, 403, 404, 409, 422, 503), ProblemSchema)


def documented(summary: str, *, request: Any = None, status: int = 200) -> Callable[[Any], Any]:
    """The operation in the OpenAPI document."""
    responses = {status: OpenApiTypes.OBJECT, **PROBLEMS}
    return extend_schema(summary=summary, request=request, responses=responses)


class ApiView(APIView):
    """A signed request's view."""

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    @property
    def now(self) -> datetime:
        return timezone.now()


def listed(rows: Iterable[Row], shape: Callable[[Row], Json]) -> Response:
    """The newest rows, at most a thousand: of a query, no more are read."""
    newest = rows[:MAX_ROWS] if isinstance(rows, QuerySet) else islice(rows, MAX_ROWS)
    return Response({"items": [shape(row) for row in newest]})


def created(shape: Json) -> Response:
    return Response(shape, status=201)


def id_asked(request: Request, name: str) -> UUID | None:
    """`?NAME=`: the id of what alone is asked for; None where it is not given. Raises Invalid for what is no id."""
    asked = request.query_params.get(name)
    try:
        return UUID(asked) if asked is not None else None
    except ValueError as trouble:
        raise Invalid(f"{name} is a UUID", code="query.malformed") from trouble


def seconds_asked(request: Request, *, most: float) -> float:
    """`?wait=`: how long the caller is ready to wait; nonsense is no wait."""
    try:
        asked = float(request.query_params.get("wait", "0"))
    except ValueError:
        return 0.0
    return max(0.0, min(asked, most)) if isfinite(asked) else 0.0

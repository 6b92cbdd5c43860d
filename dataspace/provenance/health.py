"""Health of the portal, for people and the supervisor: counts only."""

from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from dataspace.provenance.models import Leaf
from dataspace.provenance.queries import anchored_size


def _log() -> dict[str, Any]:
    return {"size": Leaf.objects.count(), "anchored": anchored_size()}


@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers; the chain's trouble is reported, and work waits for it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        log = _log()
    except DatabaseError:
        return JsonResponse({"ok": False, "database": False}, status=503)
    return JsonResponse({"ok": True, "database": True, "log": log})

"""Health of the portal, for people and the supervisor: counts only."""

import time
from importlib.metadata import version
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from dataspace.errors import DataspaceError
from dataspace.provenance import chainhealth, guard, space
from dataspace.provenance.models import Checkpoint
from dataspace.provenance.queries import anchored_size, log_size, published, witnesses
from ledger.errors import LedgerError

FRESH = 2.0
_chain_seen: list[tuple[float, bool]] = [(0.0, False)]


def _log() -> dict[str, Any]:
    """Sizes, and `state`: ok, or the code for which nothing is written (ledger.behind_chain, ...).

    Less published than signed, and fewer witnesses well than needed: publishing waits for them, recording goes on.
    """
    newest, signed = published(), Checkpoint.objects.last()
    try:
        state, k = guard.state(), space.trust().witnesses.k
    except DataspaceError as trouble:
        state, k = trouble.code, 0
    well = sum(1 for one in witnesses() if one.state in ("cosigning", "behind"))
    return {
        "size": log_size(),
        "signed": signed.size if signed else 0,
        "published": newest.size if newest else 0,
        "anchored": anchored_size(),
        "state": state,
        "witnesses": {"needed": k, "well": well},
    }


def chain_answers() -> bool:
    """Whether the chain answered, asked at most every two seconds."""
    seen, answer = _chain_seen[0]
    if time.monotonic() - seen > FRESH or not seen:
        try:
            space.chain().head()
            answer = True
        except (LedgerError, DataspaceError):
            answer = False
        _chain_seen[0] = (time.monotonic(), answer)
    return answer


@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers; the chain's trouble is reported, and work waits for it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        log = _log()
    except (DatabaseError, InterfaceError):
        return JsonResponse({"ok": False, "database": False, "version": version("xinglin")}, status=503)
    body = {"ok": True, "database": True, "chain": chain_answers(), "log": log, "version": version("xinglin")}
    body |= {"chain_kind": chainhealth.label(), "alarms": chainhealth.alarms()}
    return JsonResponse(body)

"""The log for everybody, as files: c2sp.org/tlog-tiles below /log/. Unsigned, for whoever reads verifies.

Shows what is published and nothing beyond, so that every tile is covered by a checkpoint that witnesses have seen.
"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from dataspace.errors import NotFound
from dataspace.provenance import queries, store
from ledger.errors import VerificationError
from ledger.tiles import bundle, read_name, width_at

FOR_EVER = "public, max-age=31536000, immutable"
LEVELS = {str(number) for number in range(64)}


@require_safe
def checkpoint(request: HttpRequest) -> HttpResponse:
    """The newest published checkpoint: the note with its cosignatures."""
    newest = queries.published()
    if newest is None:
        return HttpResponse("no checkpoint yet\n", status=404, content_type="text/plain; charset=utf-8")
    answer = HttpResponse(newest.cosigned, content_type="text/plain; charset=utf-8")
    answer["Cache-Control"] = "public, max-age=1"
    return answer


@require_safe
def tile(request: HttpRequest, level: str, name: str) -> HttpResponse:
    """Hashes of one level."""
    index, width = _asked(level, name)
    return _for_ever(store.log().tile(int(level), index, width))


@require_safe
def entries(request: HttpRequest, name: str) -> HttpResponse:
    """Leaves: commitments to entries, never the entries."""
    index, width = _asked("0", name)
    return _for_ever(bundle(store.leaves(index)[:width]))


def _asked(level: str, name: str) -> tuple[int, int]:
    newest = queries.published()
    try:
        index, width = read_name(name)
    except VerificationError as trouble:
        raise NotFound("no such tile") from trouble
    if newest is None or level not in LEVELS or width_at(newest.size, int(level), index) < width:
        raise NotFound("the log has no such tile yet")
    return index, width


def _for_ever(data: bytes) -> HttpResponse:
    answer = HttpResponse(data, content_type="application/octet-stream")
    answer["Cache-Control"] = FOR_EVER
    return answer

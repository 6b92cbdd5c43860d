"""Asks the witnesses for cosignatures (c2sp.org/tlog-witness) and keeps those that hold.

All are asked at once; nobody is waited for long once enough have answered, and one who does not answer or refuses is
left alone for a while. Believes no answer: a line counts only as a signature by a key of the trust file, over this
note, at about this time. A note that names an anchor's block is cosigned only by witnesses with a chain to ask; that
one without refuses it is no sign of trouble.
"""

import logging
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import lru_cache

import httpx
from django.conf import settings

from dataspace.errors import Unavailable
from dataspace.provenance import space, store
from dataspace.provenance.models import Checkpoint, Cosignature, WitnessSeen
from ledger.checkpoint import sign_checkpoint, verify_cosignatures
from ledger.errors import DocumentError, VerificationError
from ledger.merkle import EMPTY_ROOT
from ledger.witness import write_submission

log = logging.getLogger(__name__)

SECONDS = 3.0
GRACE = 0.3
PAUSE = 2.0
CLOCKS = 300
NO_WORD = (422, 503)  # to a note that names a block: it has no chain, or sees another one, or cannot ask now
MOST = 16_000
TOLD = re.compile(r"(0|[1-9][0-9]{0,17})\n?")
Reply = tuple[int, str] | None
_paused: dict[str, float] = {}


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    return httpx.Client(timeout=SECONDS, follow_redirects=False, trust_env=False)


def cosign(checkpoint: Checkpoint, *, now: datetime) -> int:
    """Ask who has not cosigned this checkpoint yet; answers how many of the trust file's witnesses now have."""
    wanted = space.trust().witnesses
    have = set(checkpoint.cosignatures.values_list("key", flat=True))
    rows = {one.url: one for one in WitnessSeen.objects.filter(url__in=settings.XINGLIN_WITNESSES)}
    due = {
        url: rows.get(url) or WitnessSeen(url=url)
        for url in settings.XINGLIN_WITNESSES
        if not _left_alone(url, checkpoint) and (url not in rows or rows[url].key not in have)
    }
    for _ in range(2):  # whoever remembers another size than we thought tells it, and is asked again
        replies = _ask_all(_bodies(checkpoint, due), enough=max(0, wanted.k - len(have)))
        due = {url: row for url, row in due.items() if _take(checkpoint, row, replies.get(url), have, now=now)}
        if not due:
            break
    return len(have & set(wanted.keys))


def confirm(*, now: datetime) -> None:
    """Ask everybody whether they have seen more of this log than this database, by the newest note it has signed; an
    empty one signs the empty tree, with which every log begins.

    Raises `ledger.behind_witnesses` if k of them have seen more, or another log of this size, and `ledger.unconfirmed`
    unless k say that they have not: what k cosigned, one of them at least has seen.
    """
    trust = space.trust()
    newest = Checkpoint.objects.filter(names=None).last()
    size = newest.size if newest else 0
    note = newest.note if newest else sign_checkpoint(trust.log.origin, 0, EMPTY_ROOT, space.log_key())
    bodies = dict.fromkeys(settings.XINGLIN_WITNESSES, write_submission(size, [], note))
    replies = _ask_all(bodies, enough=len(bodies))
    found = {url: _seen(note, size, reply, now=now) for url, reply in replies.items()}
    for url, told in found.items():
        if told is not None:
            code = "witness.ahead" if told > size else "witness.forked" if told < 0 else ""
            heard = {"size": abs(told), "answered_at": now, "code": code}
            WitnessSeen.objects.update_or_create(url=url, defaults=heard)
    if sum(1 for told in found.values() if told is not None and not 0 <= told <= size) >= trust.witnesses.k:
        raise VerificationError("ledger.behind_witnesses", "the witnesses have seen more of this log, or another one")
    if sum(1 for told in found.values() if told is not None and 0 <= told <= size) < trust.witnesses.k:
        raise Unavailable("too few witnesses can say how long the log was", code="ledger.unconfirmed")


def _seen(note: str, size: int, reply: Reply, *, now: datetime) -> int | None:
    """The size that a witness has seen, negative if of another log; None if it did not say."""
    status, body = reply or (0, "")
    if status == 409 and TOLD.fullmatch(body):
        return int(body) if int(body) != size else -size  # it remembers our size, and not our root
    try:
        given = verify_cosignatures(note + body, space.trust().witnesses.keys) if status == 200 else {}
    except DocumentError:
        return None
    return size if any(abs(at - now.timestamp()) <= CLOCKS for at in given.values()) else None


def _bodies(checkpoint: Checkpoint, due: Mapping[str, WitnessSeen]) -> dict[str, bytes]:
    space_log = store.log()
    return {
        url: write_submission(old, space_log.consistency(old, checkpoint.size), checkpoint.note)
        for url, old in ((url, min(row.size, checkpoint.size)) for url, row in due.items())
    }


def _ask_all(bodies: Mapping[str, bytes], *, enough: int) -> dict[str, Reply]:
    """Everybody's reply; None for those who did not answer in time."""
    if not bodies:
        return {}
    pool = ThreadPoolExecutor(max_workers=len(bodies))
    asked = {pool.submit(_ask, url, body): url for url, body in bodies.items()}
    waiting: set[Future[Reply]] = set(asked)
    until, said = time.monotonic() + SECONDS, 0
    while waiting and time.monotonic() < until:
        done, waiting = wait(waiting, timeout=max(0.0, until - time.monotonic()), return_when="FIRST_COMPLETED")
        said += sum(1 for one in done if (one.result() or (0, ""))[0] == 200)
        if said >= enough:
            until = min(until, time.monotonic() + GRACE)
    pool.shutdown(wait=False, cancel_futures=True)
    return {url: one.result() if one not in waiting else None for one, url in asked.items()}


def _ask(url: str, body: bytes) -> Reply:
    try:
        with _client().stream("POST", f"{url}/add-checkpoint", content=body) as answer:
            read, until = b"", time.monotonic() + SECONDS
            for part in answer.iter_bytes():
                read += part
                if len(read) > MOST or time.monotonic() > until:  # nor byte by byte, for a thread waits
                    return None
            return answer.status_code, read.decode(errors="replace")
    except httpx.HTTPError:
        return None


def _take(checkpoint: Checkpoint, row: WitnessSeen, reply: Reply, have: set[str], *, now: datetime) -> bool:
    """Keep what a reply says; whether this witness is worth a second question, with another size."""
    status, body = reply or (0, "")
    told = int(body) if status == 409 and TOLD.fullmatch(body) else None
    again = told is not None and told != row.size and told <= checkpoint.size
    if status == 200:
        row.code = _keep(checkpoint, row, body, have, now=now)
    elif reply is None:
        row.code = "witness.unavailable"
    elif checkpoint.names_id is not None and status in NO_WORD:
        row.code = row.code.replace("witness.unavailable", "")  # of the log's growth it says what it said before
        _leave_alone(row.url, names=True)
        log.info("witness %s vouches for no block: %s", row.url, status)
    elif told is not None:
        row.code = "" if again else "witness.ahead" if told > checkpoint.size else "witness.forked"
        row.size = told
    else:
        row.code = f"witness.refused_{status}"
    if reply is not None:
        row.answered_at = now
    if row.code:
        _leave_alone(row.url)
        log.warning("witness %s: %s", row.url, row.code)
    heard = {"key": row.key, "size": row.size, "answered_at": row.answered_at, "cosigned_at": row.cosigned_at}
    WitnessSeen.objects.update_or_create(url=row.url, defaults={**heard, "code": row.code})
    return again


def _leave_alone(url: str, *, names: bool = False) -> None:
    """For a while; where it `names` a block, with such notes only."""
    _paused[f"{url} block" if names else url] = time.monotonic() + PAUSE


def _left_alone(url: str, checkpoint: Checkpoint) -> bool:
    keys = [url] if checkpoint.names_id is None else [url, f"{url} block"]
    return any(_paused.get(key, 0.0) >= time.monotonic() for key in keys)


def _keep(checkpoint: Checkpoint, row: WitnessSeen, body: str, have: set[str], *, now: datetime) -> str:
    """Keep the lines that hold; the code of what is wrong if none does."""
    code = "witness.no_cosignature"
    for line in body.splitlines(keepends=True):
        try:
            found = verify_cosignatures(checkpoint.note + line, space.trust().witnesses.keys)
        except DocumentError:
            return "witness.malformed"
        for key, at in found.items():
            if abs(at - now.timestamp()) > CLOCKS:
                return "witness.clock"
            Cosignature.objects.bulk_create(
                [Cosignature(checkpoint=checkpoint, key=key, line=line, at=datetime.fromtimestamp(at, UTC))],
                ignore_conflicts=True,
            )
            have.add(key)
            row.key, row.size, row.cosigned_at, code = key, checkpoint.size, now, ""
    return code


def forget_pauses() -> None:
    """Ask everybody again at the next occasion."""
    _paused.clear()

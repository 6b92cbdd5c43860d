"""Recognises a database that knows less of its log than the world does: one restored from an old backup, or another's.

Writing on from there would fork the log. So before each write the log is compared with three memories that lie outside
the database: the chain's head, what the witnesses have cosigned, and a mark beside the portal's keys. Where none of
them can be asked, nothing is written either. Once a process, before it signs anything, the witnesses themselves are
asked (the database remembers what they said only up to its backup), and the chain's contracts must be those of the
trust file, their roles held by nobody else: a stranger's contract is asked nothing.
"""

import json
import logging
import os
import time
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from dataspace.errors import Unavailable
from dataspace.provenance import space, store, witnesses
from dataspace.provenance.models import WitnessSeen
from ledger.anchor import log_id_of
from ledger.documents import canonical
from ledger.errors import ChainUnavailable, LedgerError
from ledger.fsck import Head, check_not_behind

log = logging.getLogger(__name__)

FRESH = 2.0
_answers: dict[str, tuple[float, str]] = {}
_sound: set[str] = set()
_heard: set[str] = set()
_unheard: dict[str, tuple[float, Exception]] = {}


def check() -> None:
    """Raise `ledger.behind_...` if somebody has seen more of this log, `ledger.unconfirmed` if too few can be asked.

    Raises `chain.wrong` and `chain.roles` as `look_at_the_contracts` does.
    """
    look_at_the_contracts()
    heads = [one for one in (_chain_head(), _mark()) if one is not None]
    if not heads:
        raise Unavailable("neither chain nor mark can say how long the log was", code="ledger.unconfirmed")
    check_not_behind(store.log(), [*heads, *_witness_heads()])
    for one in heads:
        if one.where == "chain":
            keep(one.size, one.root)
    _hear_the_witnesses()


def _hear_the_witnesses() -> None:
    """Once a process and trust file; while they are away, not all the time."""
    trust = space.trust()
    name = sha256(canonical(trust.document)).hexdigest()
    if not trust.witnesses.k or name in _heard:
        return
    asked, trouble = _unheard.get(name, (0.0, None))
    if trouble is None or time.monotonic() - asked > FRESH:
        try:
            witnesses.confirm(now=timezone.now())
        except (LedgerError, Unavailable) as wrong:
            _unheard[name] = (time.monotonic(), wrong)
            raise
        _heard.add(name)
        _unheard.pop(name, None)
    else:
        raise trouble.with_traceback(None)


def forget() -> None:
    """As a process that has just started; for tests."""
    for known in (_answers, _sound, _heard, _unheard):
        known.clear()


def look_at_the_contracts() -> None:
    """Compare deployed code, and who holds a role, with the trust file; a chain that is away is asked again next time.

    Raises `chain.wrong` for another chain or other code, `chain.roles` if somebody else may decide or anchor there.
    """
    trust = space.trust()
    name = sha256(canonical(trust.document)).hexdigest()
    if name in _sound:
        return
    try:
        space.chain().check_contracts(trust)
        space.chain().check_roles(trust, operator=space.chain_key().address)
    except ChainUnavailable:
        return
    _sound.add(name)


def state() -> str:
    """"ok", or the code of what is wrong; for health, asked again every two seconds at most."""
    origin = space.trust().log.origin
    asked, answer = _answers.get(origin, (0.0, ""))
    if time.monotonic() - asked > FRESH or not asked:
        try:
            check()
            answer = "ok"
        except (LedgerError, Unavailable) as trouble:
            answer = trouble.code
        _answers[origin] = (time.monotonic(), answer)
    return answer


def _chain_head() -> Head | None:
    try:
        head = space.chain().anchor_head(log_id_of(space.trust().log.origin))
    except ChainUnavailable:
        return None
    return Head("chain", head.size, bytes.fromhex(head.root[2:]) if head.size else None)


def _witness_heads() -> list[Head]:
    """The size that as many witnesses have seen as may vouch for a checkpoint: a single liar stops nothing."""
    k = space.trust().witnesses.k
    sizes = sorted(WitnessSeen.objects.filter(url__in=settings.XINGLIN_WITNESSES).values_list("size", flat=True))
    return [Head("witnesses", sizes[-k], None)] if k and len(sizes) >= k else []


def place() -> Path:
    return Path(settings.XINGLIN_VAR) / "log" / f"{sha256(space.trust().log.origin.encode()).hexdigest()[:32]}.json"


def _mark() -> Head | None:
    try:
        kept = json.loads(place().read_text())
        return Head("mark", int(kept["size"]), bytes.fromhex(kept["root"]) if kept["root"] else None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as trouble:
        log.warning("the log's mark cannot be read: %s", type(trouble).__name__)
        return None


def keep(size: int, root: bytes | None) -> None:
    """Write the mark, if it is news. Losing it loses nothing that chain and witnesses do not know."""
    known = _mark()
    if known is not None and known.size >= size:
        return
    file = place()
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.write_text(json.dumps({"size": size, "root": root.hex() if root else ""}) + "\n")
        part.replace(file)
    except OSError as trouble:
        log.warning("the log's mark cannot be written: %s", type(trouble).__name__)

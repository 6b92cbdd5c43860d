"""The SDK's one way to the portal: signed requests through `ledger.door`, its errors turned into ours.

What comes back is unverified; `records.py` and `opening.py` decide what may be believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ledger.acts import DoorLike
from ledger.errors import ChainUnavailable as LedgerChainUnavailable
from ledger.errors import LedgerError, PortalRefused, PortalUnavailable
from ledger.errors import VerificationError as LedgerVerificationError
from marketplace.sdk.errors import NotFound, Refused, SdkError, Unavailable, VerificationError
from mpc.errors import MpcError


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn an error of the ledger or the engine into the SDK's, its code kept."""
    try:
        yield
    except PortalRefused as error:
        raise _refusal(error) from error
    except (PortalUnavailable, LedgerChainUnavailable) as error:
        raise Unavailable(error.message, code=error.code) from error
    except LedgerVerificationError as error:
        raise VerificationError(error.message, code=error.code) from error
    except (LedgerError, MpcError) as error:
        raise Refused(str(error), code=error.code) from error


@contextmanager
def whole_answers() -> Iterator[None]:
    """Where an answer is read: one that lacks what it must say, or says it in another form, is wrong, and named so.
    Nothing is computed here, so these errors can mean nothing else."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise VerificationError("the portal's answer lacks what it must say, or has another form",
                                code="portal.malformed") from error


def _refusal(error: PortalRefused) -> SdkError:
    """404 reads as not found, whoever's it is; everything else is a refusal with the portal's own code."""
    kind = NotFound if error.status == 404 else Refused
    who = error.problem.get("who_must_act")
    return kind(
        error.detail,
        code=error.code,
        status=error.status,
        request_id=error.request_id or None,
        who_must_act=str(who) if who else None,
    )


class Portal:
    """Calls to the portal's API, with the SDK's errors."""

    def __init__(self, door: DoorLike) -> None:
        self._door = door

    def get(self, path: str, **params: Any) -> Any:
        with our_errors():
            return self._door.get(path, params or None)

    def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        with our_errors():
            return self._door.post(path, body, idempotency_key=idempotency_key)

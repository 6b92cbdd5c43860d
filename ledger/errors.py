"""What can go wrong in the ledger. Wrong and unknown never share a class.

* LedgerError
  - VerificationError   it is wrong: a signature, a proof, a hash, a permission
    - DocumentError     it is malformed, which counts as wrong
    - ChainRefused      the contract reverted
  - ChainUnavailable    we could not find out what the chain says; nothing is said about the answer
  - PortalRefused       the portal answered no
  - PortalUnavailable   the portal could not be asked; the same request may be sent again

Every error has a stable, dotted `code`; the text is for people. This file imports nothing.
"""

from __future__ import annotations

FINAL = frozenset({400, 404, 409, 410, 413, 422})  # of HTTP: the answer to this very request stays no


class LedgerError(Exception):
    """Root of the tree."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code
        self.message = message


class VerificationError(LedgerError):
    """What was shown does not hold."""


class DocumentError(VerificationError):
    """A document is not of its form; the message begins with the JSON pointer of the field."""


class ChainRefused(VerificationError):
    """A contract reverted the call."""


class ChainUnavailable(LedgerError):
    """No usable answer from the chain: unreachable, stale or disagreeing endpoints."""


class PortalRefused(LedgerError):
    """The portal answered with a problem document."""

    def __init__(self, status: int, code: str, detail: str, request_id: str = "",
                 problem: dict[str, object] | None = None) -> None:
        super().__init__(code, detail)
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.problem: dict[str, object] = problem or {}

    @property
    def final(self) -> bool:
        """The same request will never be taken. Any other refusal (a key not known yet, a clock that is off, somebody
        suspended) may be otherwise later."""
        return self.status in FINAL


class PortalUnavailable(LedgerError):
    """The portal did not answer, or said that it cannot now; `status` is what it said, 0 when it said nothing."""

    def __init__(self, message: str, code: str = "portal.unavailable", *, status: int = 0) -> None:
        super().__init__(code, message)
        self.status = status

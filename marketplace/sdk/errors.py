"""What can go wrong for somebody who uses the SDK; it may not hide what is wrong behind what is not known.

* SdkError                      the root: `code` (stable), text, HTTP status and request id where there are any
  - ConfigurationError          config.*      a file this program needs is missing or cannot be read
  - Unavailable                 portal.unavailable, chain.unavailable, receipt.pending: we could not find out
  - TimedOut                    job.timeout, agreement.timeout: not finished yet; wait again
  - NotFound                    not_found     no such thing, or not yours: they look the same
  - Refused                     the portal, a node or a rule of the SDK said no; `code` says which rule
    + JobFailed                 job.failed, job.refused, job.cancelled, job.expired: it ended without a result
  - VerificationError           wrong, not unknown: signed, hashed or proved by nobody who may
    + EnvelopeError             envelope.missing, envelope.invalid, envelope.session, envelope.impossible
    + ReceiptError              receipt.invalid

`tests/architecture/test_error_trees.py` compares this drawing with the classes.
"""

from __future__ import annotations


class SdkError(Exception):
    """Every error of the SDK: a stable `code`, a text for people, the HTTP status and request id if any."""

    default = "sdk.error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        who_must_act: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default
        self.message = message
        self.status = status
        self.request_id = request_id
        self.who_must_act = who_must_act

    def __str__(self) -> str:
        tail = f" ({self.who_must_act} must act)" if self.who_must_act else ""
        return f"{self.code}: {self.message}{tail}"


class ConfigurationError(SdkError):
    """A file or value this program needs is missing or cannot be read."""

    default = "config.invalid"


class Unavailable(SdkError):
    """We could not find out. It says nothing of the answer; the same call may be made again."""

    default = "portal.unavailable"


class TimedOut(SdkError):
    """It has not ended within the time given; it may still end well."""

    default = "job.timeout"


class NotFound(SdkError):
    """No such thing, or not yours."""

    default = "not_found"


class Refused(SdkError):
    """Somebody who may say no did."""

    default = "refused"


class JobFailed(Refused):
    """A job ended without a result. `reason` is the refusing party's own code, `about` whom it names, `who_must_act`
    whose turn it is."""

    default = "job.failed"

    def __init__(self, message: str, *, code: str, state: str, reason: str | None, about: str | None,
                 who_must_act: str | None = None) -> None:
        super().__init__(message, code=code, who_must_act=who_must_act)
        self.state = state
        self.reason = reason
        self.about = about


class VerificationError(SdkError):
    """Something is wrong: a signature, a hash or a proof does not hold. Nothing was opened."""

    default = "verification.failed"


class EnvelopeError(VerificationError):
    """The envelopes of a result are not exactly one valid one of each member of the roster."""

    default = "envelope.invalid"


class ReceiptError(VerificationError):
    """A receipt that does not prove what it says."""

    default = "receipt.invalid"

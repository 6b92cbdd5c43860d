"""A receipt in the hands of the buyer: what happened, proved by log, approvals and chain, checked without the portal.

`verify` raises `ReceiptError` if a level is invalid, or if one that can always be checked offline (inclusion, log
signature) is not valid. A level nobody checked reads `not checked`, never `valid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.documents import canonical
from ledger.endpoint import chain_root_reader
from ledger.receipt import Levels, read_receipt, verify_receipt
from ledger.trust import Trust, load_trust
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import ReceiptError, VerificationError

RELEASED = "job.released"


class Receipt:
    """The bytes of one receipt, and how to check them."""

    def __init__(self, data: bytes, *, trust: Trust, subject: str | None = None,
                 grants: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._trust = trust
        self._subject = subject
        self._grants = dict(grants or {})

    @classmethod
    def of(cls, value: Mapping[str, Any], *, trust: Trust, subject: str | None = None,
           grants: Mapping[str, str] | None = None) -> Receipt:
        with our_errors():
            return cls(canonical(dict(value)), trust=trust, subject=subject, grants=grants)

    def verify(self, trust: Trust | str | Path | None = None, *, fingerprint: str | None = None,
               rpc: str | None = None) -> Levels:
        """Check every level that can be checked; with `rpc` the chain's state too."""
        roots = self._roots(trust, fingerprint)
        try:
            with our_errors():
                reader = chain_root_reader(roots, rpc) if rpc else None
                levels = verify_receipt(self.data, roots, chain_root=reader)
        except VerificationError as error:
            raise ReceiptError(error.message) from error
        if not levels.holds():
            said = "; ".join(f"{name}: {value}" for name, value in levels.as_dict().items())
            raise ReceiptError(f"the receipt does not hold: {said}")
        self._check_subject()
        return levels

    def _roots(self, trust: Trust | str | Path | None, fingerprint: str | None) -> Trust:
        if trust is None:
            return self._trust
        if isinstance(trust, Trust):
            return trust
        with our_errors():
            return load_trust(trust, fingerprint=fingerprint or self._trust.fingerprint)

    def _check_subject(self) -> None:
        """A true receipt of something else proves nothing about this job."""
        entry = self.entry
        if self._subject is not None and (entry["kind"], entry["subject"]["id"]) != (RELEASED, self._subject):
            raise ReceiptError("the receipt is about something else than the release of this job")
        if self._grants:
            named = {grant["id"]: grant["terms_hash"] for grant in entry["body"].get("grants", ())}
            if named != self._grants:
                raise ReceiptError("the receipt names other grants than the job")

    @property
    def entry(self) -> Mapping[str, Any]:
        """The entry the receipt is about: kind, subject, actor, time, body."""
        with our_errors():
            entry: Mapping[str, Any] = read_receipt(self.data)["entry"]
        return entry

    def save(self, path: str | Path) -> Path:
        """Write the receipt's bytes; `python -m ledger verify` reads the file."""
        target = Path(path)
        target.write_bytes(self.data)
        return target

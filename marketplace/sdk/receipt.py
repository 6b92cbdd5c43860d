"""A receipt in the hands of the buyer: what happened, proved by log, approvals and chain, checked without the portal.

`verify` raises `ReceiptError` if a level is invalid, or if a required one is not valid: inclusion and log signature,
and the witnesses once the trust file asks for any. A level nobody checked reads `not checked`, never `valid`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ledger.documents import canonical
from ledger.endpoint import Endpoints
from ledger.receipt import Levels, read_receipt, verify_receipt
from ledger.trust import Trust, load_trust
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import ReceiptError, VerificationError

RELEASED = "job.released"
WORDS = MappingProxyType({
    "inclusion": "条目在账本中", "log_signature": "账本签署了这个根", "witnesses": "独立见证方也签署了",
    "approvals": "监管方与保管方签署了授权", "chain_proof": "链上状态持有同一个根",
    "chain_header": "有他人为该区块作证", "valid": "有效", "invalid": "无效", "not checked": "未核验"})
"""What a terminal in Chinese is told; the codes are the English words."""


def told(levels: Levels, *, chinese: bool = False) -> list[dict[str, str]]:
    """A line for each level: which, what was found, and why."""
    words = WORDS if chinese else {}
    return [{"level": words.get(name, name), "finding": words.get(value, value), "why": levels.reasons.get(name, "")}
            for name, value in levels.as_dict().items()]


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
               rpc: str | Sequence[str] = (), require: Collection[str] = ()) -> Levels:
        """Check all six levels, offline; with `rpc` the chain is asked as well. `require` names levels that must be
        valid beside those that always must.
        """
        roots = self._roots(trust, fingerprint)
        urls = [rpc] if isinstance(rpc, str) else list(rpc or ())
        try:
            with our_errors():
                levels = verify_receipt(self.data, roots, chain=Endpoints(roots, urls) if urls else None)
        except VerificationError as error:
            raise ReceiptError(error.message) from error
        if not levels.holds({*levels.required, *require}):
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

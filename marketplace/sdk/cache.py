"""Keeps on disk what a result needs to be opened again: evidence of released jobs, receipts, specs we have sent.

Envelopes stay sealed here; only our key file opens them. A file is written whole or not at all, and names are UUIDs or
hashes, never values. Nothing read from here is believed without the same checks as what comes from the portal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from ledger.documents import load_json
from ledger.errors import DocumentError
from marketplace.sdk.errors import ConfigurationError


class Cache:
    """A folder of small JSON files, one kind a sub-folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def job(self, job_id: str) -> Path:
        return self.folder / "jobs" / f"{UUID(job_id)}.json"

    def receipt(self, entry_id: str) -> Path:
        return self.folder / "receipts" / f"{UUID(entry_id)}.json"

    def order(self, idempotency_key: str) -> Path:
        return self.folder / "orders" / f"{sha256(idempotency_key.encode()).hexdigest()}.json"

    def read(self, path: Path) -> Any | None:
        """The parsed file, or None if there is none."""
        try:
            return load_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except DocumentError as error:
            raise ConfigurationError(f"{path} is damaged; remove it: {error}", code="config.cache") from error

    def write(self, path: Path, value: Mapping[str, Any]) -> None:
        """Write to a neighbour, then rename: a reader never sees half a file."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

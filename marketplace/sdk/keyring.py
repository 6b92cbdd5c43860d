"""Paillier keys of our own, one fresh for each order: made here, kept beside the key file, never sent anywhere.

A file is readable by its owner only, and refused otherwise; it is named by its public half. Whoever loses it cannot
open that order's total any more. Keys from elsewhere are not taken (`mpc.paillier.Secret.from_text`).
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

from ledger.documents import canonical
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import ConfigurationError
from mpc import paillier
from mpc.ciphertext import PublicKey
from mpc.errors import MpcError
from mpc.paillier import Secret


class Keyring:
    """A folder of secret keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, public: PublicKey) -> Path:
        return self.folder / f"{sha256(canonical(public.document())).hexdigest()}.json"

    def create(self, bits: int) -> Secret:
        """A fresh key of 2,048 or 3,072 bits, on disk before anybody hears of it."""
        with our_errors():
            secret = paillier.generate(bits)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path(secret.public), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secret.to_text() + "\n")
            file.flush()
            os.fsync(file.fileno())
        return secret

    def forget(self, public: PublicKey) -> None:
        """The key of an order that there is not."""
        self.path(public).unlink(missing_ok=True)

    def load(self, public: PublicKey) -> Secret:
        """The secret half of this key."""
        path = self.path(public)
        try:
            with path.open() as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:  # of what is read
                    raise ConfigurationError(f"{path} can be read by others; chmod 600 it", code="key.file_open")
                secret = Secret.from_text(file.read())
        except FileNotFoundError as error:
            raise ConfigurationError(f"the key of this order is not here: {path}", code="config.key") from error
        except (OSError, UnicodeDecodeError, MpcError) as error:
            raise ConfigurationError(f"{path} is no key of ours", code="config.key") from error
        if secret.public != public:
            raise ConfigurationError(f"{path} is another order's key", code="config.key")
        return secret

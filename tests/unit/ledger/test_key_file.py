"""Key files: private, complete, and never overwritten."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ledger.errors import DocumentError, VerificationError
from ledger.keys import EthKey, KeyFile


def test_it_works(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = KeyFile.create(path, service=True)
    read = KeyFile.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read.public_record_keys() == made.public_record_keys()
    assert read.participant == made.participant
    assert read.approval is None
    assert read.public_record_keys(("0x" + "01" * 20,))["approval"] == [
        {"scheme": "secp256k1", "address": "0x" + "01" * 20}]


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    KeyFile.create(tmp_path / "keys.json")
    with pytest.raises(FileExistsError):
        KeyFile.create(tmp_path / "keys.json")


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    KeyFile.create(tmp_path / "keys.json")
    (tmp_path / "keys.json").chmod(0o640)
    with pytest.raises(VerificationError, match=r"key\.file_open"):
        KeyFile.load(tmp_path / "keys.json")


def test_a_malformed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    KeyFile.create(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "more": 1}))
    with pytest.raises(DocumentError):
        KeyFile.load(path)


def test_no_private_key_is_shown(tmp_path: Path) -> None:
    keys = KeyFile.create(tmp_path / "keys.json", service=True, approval=True)
    shown = repr(keys)
    secrets = [value for value in json.loads((tmp_path / "keys.json").read_text()).values()
               if isinstance(value, str) and len(value) == 64]
    assert len(secrets) == 4
    assert not any(secret in shown for secret in secrets)


def test_a_number_beyond_the_curve_is_no_key() -> None:
    with pytest.raises(VerificationError, match=r"key\.invalid"):
        EthKey("ff" * 32)

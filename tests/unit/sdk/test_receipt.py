"""The receipt in the buyer's hands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.receipt import LEVELS
from marketplace.sdk import Receipt, ReceiptError, Unavailable
from marketplace.sdk.config import speaks_chinese
from marketplace.sdk.job import Job
from marketplace.sdk.receipt import told
from tests.unit.sdk.world import World


def test_it_works(world: World, released: Job, tmp_path: Path) -> None:
    receipt = released.wait(seconds=5).receipt

    levels = receipt.verify(world.trust).as_dict()

    assert (levels["inclusion"], levels["log_signature"], levels["approvals"]) == ("valid", "valid", "valid")
    assert (levels["witnesses"], levels["chain_proof"], levels["chain_header"]) == ("not checked",) * 3
    with pytest.raises(ReceiptError):
        receipt.verify(world.trust, require=["chain_header"])
    saved = receipt.save(tmp_path / "receipt.json").read_bytes()
    assert Receipt(saved, trust=world.trust).verify().holds()


def test_a_trust_file_and_its_fingerprint_will_do(world: World, released: Job, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(world.trust_wire))
    assert released.wait(seconds=5).receipt.verify(path, fingerprint=world.trust.fingerprint).holds()


def test_a_receipt_of_another_job_is_refused(world: World, released: Job) -> None:
    receipt = released.wait(seconds=5).receipt
    other = Receipt(receipt.data, trust=world.trust, subject="6c9a5f0e-0000-4000-8000-000000000000")
    with pytest.raises(ReceiptError) as refused:
        other.verify()
    assert refused.value.code == "receipt.invalid"


def test_a_receipt_of_something_else_that_befell_the_job_is_refused(world: World, released: Job) -> None:
    world.release(released.id, kind="job.offered")
    with pytest.raises(ReceiptError) as refused:
        released.wait(seconds=5).receipt.verify()
    assert refused.value.code == "receipt.invalid"


def test_a_tampered_receipt_is_refused(world: World, released: Job) -> None:
    receipt = released.wait(seconds=5).receipt
    for at in range(0, len(receipt.data), 97):
        data = bytearray(receipt.data)
        data[at] ^= 1
        with pytest.raises(ReceiptError) as refused:
            Receipt(bytes(data), trust=world.trust).verify()
        assert refused.value.code == "receipt.invalid", at


def test_a_release_not_yet_in_the_log_is_unknown_not_wrong(world: World, released: Job) -> None:
    world.job(released.id)["entry"] = None
    result = released.wait(seconds=5)
    with pytest.raises(Unavailable) as unknown:
        _ = result.receipt
    assert unknown.value.code == "receipt.pending"


def test_a_terminal_in_chinese_is_told_in_chinese(world: World, released: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = released.wait(seconds=5).receipt.verify()
    assert [one["level"] for one in told(levels)] == list(LEVELS)
    assert told(levels, chinese=True)[0] == {"level": "条目在账本中", "finding": "有效", "why": ""}
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert speaks_chinese()
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert not speaks_chinese()

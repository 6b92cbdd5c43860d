"""Golden bytes: what was signed once is still read, and built, to the byte."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.approval import domain_of, verify_approval
from ledger.checkpoint import verify_checkpoint
from ledger.documents import canonical, check, document_hash, load_json, verify_signed
from ledger.entry import leaf_hash
from ledger.receipt import verify_receipt
from ledger.trust import load_trust

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
GOLDEN = FIXTURES / "golden"
FACTS = json.loads((GOLDEN / "facts.json").read_text())


def read(name: str) -> Any:
    return load_json((GOLDEN / name).read_bytes())


def test_the_builder_makes_the_same_bytes() -> None:
    spec = importlib.util.spec_from_file_location("golden_build", FIXTURES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert build.build() == {path.name: path.read_bytes() for path in GOLDEN.iterdir()}


@pytest.mark.parametrize(("name", "type", "fact"), [
    ("grant_terms.json", "grant_terms", "terms_hash"), ("job_spec.json", "job_spec", "spec_hash"),
    ("entry.json", "entry", None), ("receipt.json", "receipt", None)])
def test_documents_are_read_and_hash_as_then(name: str, type: str, fact: str | None) -> None:
    document = read(name)
    check(document, type)
    assert canonical(document) == (GOLDEN / name).read_bytes()
    if fact:
        assert document_hash(document) == FACTS[fact]


def test_signatures_of_then_hold() -> None:
    trust = load_trust(GOLDEN / "trust.json", fingerprint=FACTS["trust_fingerprint"])
    wire = read("job_spec.signed.json")
    assert verify_signed(wire, type="job_spec", keys=[wire["signatures"][0]["key"]]) == read("job_spec.json")
    for name in ("approval.json", "consent.json"):
        verify_approval(read("grant_terms.json"), read(name), domain=domain_of(trust))
    note = (GOLDEN / "checkpoint.txt").read_text()
    checkpoint = verify_checkpoint(note, origin=trust.log.origin, key=trust.log.key)
    assert (checkpoint.size, checkpoint.root.hex()) == (FACTS["size"], FACTS["root"])
    assert leaf_hash(read("entry.json")).hex() == FACTS["leaf_hash"]
    for name in ("receipt.json", "receipt.small.json"):
        levels = verify_receipt((GOLDEN / name).read_bytes(), trust)
        assert levels.approvals == "valid"
        levels.require()

"""The fast way to an entry's bytes is the same as the slow one; a leaf is its commitment."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.documents import canonical, check, load_json, new_id, new_salt, timestamp
from ledger.entry import check_parts, commitment, leaf_hash, new_entry, written
from ledger.errors import DocumentError

IDS = st.uuids().map(str)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2**53 + 1, 2**53 - 1) | st.text(),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                      max_leaves=8)


@given(IDS, IDS, st.none() | IDS, st.none() | IDS, st.dictionaries(st.text(), VALUES, max_size=4))
def test_written_bytes_are_the_canonical_ones(id: str, subject: str, who: str | None, person: str | None,
                                              body: dict[str, object]) -> None:
    at, salt = timestamp(), new_salt()
    data = written("grant.used", id=id, subject=("grant", subject), participant=who, person=person, at=at, body=body,
                   salt=salt)
    entry = load_json(data)
    assert canonical(entry) == data
    check(entry, "entry")
    slow = new_entry("job.ordered", subject=("job", subject), participant=who, person=person, at=at, id=id, salt=salt)
    assert entry == {**slow, "kind": "grant.used", "subject": {"kind": "grant", "id": subject}, "body": body}
    assert commitment(entry) == sha256(data).digest()
    assert leaf_hash(entry) == sha256(b"\x00" + commitment(entry)).digest()


@pytest.mark.parametrize(("kind", "subject"), [('a".b', "grant"), ("grant.used", 'x"'), ("grant", "grant")])
def test_words_that_would_need_escaping_are_refused(kind: str, subject: str) -> None:
    with pytest.raises(DocumentError):
        check_parts(kind, subject)


def test_the_salt_hides_the_entry() -> None:
    same: dict[str, Any] = {"subject": ("grant", new_id()), "participant": None, "id": new_id(), "at": timestamp()}
    assert commitment(new_entry("grant.used", **same)) != commitment(new_entry("grant.used", **same))

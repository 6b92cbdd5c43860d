"""The small space that the ledger's tests share: made once, and only read by the tests that say `people`."""

from pathlib import Path

import pytest

from tests.unit.ledger.people import People


@pytest.fixture
def people(tmp_path: Path) -> People:
    made = People(tmp_path)
    made.admit_all()
    return made

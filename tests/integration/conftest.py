"""What integration tests share: a chain with a space's contracts on it for all, a nursery of workers for each file."""

from collections.abc import Iterator

import pytest

from tests.integration.chain_fixtures import chain_space, devchain
from tests.integration.engine_workers import Nursery

__all__ = ["chain_space", "devchain"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    one = Nursery()
    yield one
    one.end()

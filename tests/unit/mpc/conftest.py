"""What tests of the relay share: relays with limits of the test's own."""

from collections.abc import Callable, Iterator

import pytest

from mpc.relay import Limits
from tests.simulators.relay_at_hand import RelayAtHand


@pytest.fixture
def limited() -> Iterator[Callable[..., RelayAtHand]]:
    made: list[RelayAtHand] = []

    def make(**limits: float) -> RelayAtHand:
        made.append(RelayAtHand(Limits(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()

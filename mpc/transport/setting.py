"""What one end knows of its session before it begins: who it is, who the others are, how long it bears what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """Another seat, and the certificate that it must show."""

    seat: int
    certificate: bytes


@dataclass(frozen=True)
class Setting:
    """What this end knows of the session. `deadline` is on the monotonic clock."""

    session: str
    seat: int
    dealer: int
    agreement: str
    floor: int
    deadline: float
    silence: float = 10.0
    patience: float = 30.0

    @property
    def pulse(self) -> float:
        """Seconds between two signs of life."""
        return self.silence / 10

    @property
    def grace(self) -> float:
        """Seconds in which a peer that left may come back."""
        return 0.3 * self.silence

    @property
    def empty(self) -> float:
        """Seconds in which frames may come and nothing that the peer said."""
        return 1.25 * self.silence

    @property
    def relay_grace(self) -> float:
        """Seconds in which the relay may come back."""
        return 2 * self.silence

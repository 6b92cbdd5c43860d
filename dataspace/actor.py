"""Who acts: a participant, perhaps through a person. Knows no Django."""

from dataclasses import dataclass, field
from uuid import UUID

NO_ID = UUID(int=0)


@dataclass(frozen=True)
class Actor:
    """One acting organisation; `admitted_as` holds only while the participant is admitted, and not suspended."""

    participant_id: UUID | None
    person_id: UUID | None = None
    admitted_as: frozenset[str] = frozenset()
    roles: frozenset[str] = field(default_factory=frozenset)
    suspended: bool = False

    @property
    def organisation(self) -> UUID:
        """The participant's id; for somebody without one an id that nothing has."""
        return self.participant_id or NO_ID

    @property
    def is_regulator(self) -> bool:
        return "regulator" in self.admitted_as

    @property
    def is_admitted(self) -> bool:
        return bool(self.admitted_as)


NOBODY = Actor(participant_id=None)
SYSTEM = Actor(participant_id=None, roles=frozenset({"system"}))

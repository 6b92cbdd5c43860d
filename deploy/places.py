"""Where everything of a running space lies below `var/`. Only paths; nothing is read or written here."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Places:
    """The folders of one space; `kind` is `demo` or `up`."""

    var: Path
    kind: str = "demo"

    @property
    def home(self) -> Path:
        return self.var / self.kind

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def chain(self) -> Path:
        return self.home / "chain"

    @property
    def portal(self) -> Path:
        return self.home / "portal"

    @property
    def office(self) -> Path:
        return self.home / "office"

    @property
    def dealer(self) -> Path:
        return self.home / "dealer"

    @property
    def consumer(self) -> Path:
        return self.home / "consumer"

    def hospital(self, name: str) -> Path:
        return self.home / "hospitals" / name

    @property
    def people(self) -> Path:
        """Passwords of the test people, one file each."""
        return self.home / "people"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def space_file(self) -> Path:
        return self.var / "space.json"

    @property
    def lock(self) -> Path:
        return self.var / "lock"

    @property
    def running(self) -> Path:
        """Which process runs the space: its id and its start time."""
        return self.var / "running.json"

    @property
    def trust(self) -> Path:
        return self.home / "trust.json"

    def organisation(self, key: str) -> Path:
        """The home of an organisation by its key in `fixtures/people.json`."""
        fixed = {"regulator": self.office, "dealer": self.dealer, "consumer": self.consumer}
        return fixed.get(key) or self.hospital(key)

"""Where a space is and which keys are ours: reads `space.json`; it may not ask the portal for any of it.

`var/space.json` is written by `./run up` and `./run demo`. Its path is given, or comes from the variable
`XINGLIN_SPACE`, or is `var/space.json` in the working directory or one of its parents.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.sdk.errors import ConfigurationError

SPACE_VERSION = 1


@dataclass(frozen=True)
class Seat:
    """One organisation whose keys this machine holds."""

    name: str
    participant: str
    key_file: Path
    approver_file: Path | None
    user: str | None
    password_file: Path | None
    datasets: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class SpaceFile:
    """What `space.json` says: the portal's address, the trust file and its fingerprint, and whose keys are here."""

    path: Path
    portal: str
    rpc: str | None
    trust: Path
    fingerprint: str
    people: Mapping[str, Seat]
    hospitals: tuple[Seat, ...]

    def seat(self, name: str) -> Seat:
        """The organisation with this role (`consumer`, `regulator`) or this hospital's name."""
        if name in self.people:
            return self.people[name]
        for hospital in self.hospitals:
            if name in (hospital.name, hospital.participant):
                return hospital
        known = ", ".join([*self.people, *(h.name for h in self.hospitals)])
        raise ConfigurationError(f"{self.path} names no {name!r}; it has {known}", code="config.role")


def find_space_file(path: str | Path | None = None) -> Path:
    """The `space.json` to use: the one given, else `XINGLIN_SPACE`, else the nearest `var/space.json` upwards."""
    given = path or os.environ.get("XINGLIN_SPACE")
    if given:
        return Path(given)
    here = Path.cwd()
    for folder in (here, *here.parents):
        candidate = folder / "var" / "space.json"
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        "no var/space.json here or above; start a space with ./run up, or set XINGLIN_SPACE", code="config.space"
    )


def speaks_chinese() -> bool:
    """Whether this terminal is set to Chinese."""
    said = next((os.environ[one] for one in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(one)), "")
    return said.startswith("zh")


def read_space_file(path: str | Path | None = None) -> SpaceFile:
    """Read and check `space.json`; file names in it may be relative to the folder it lies in."""
    found = find_space_file(path)
    try:
        raw = json.loads(found.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {found}: {error}", code="config.space") from error
    try:
        if raw["version"] != SPACE_VERSION:
            raise ConfigurationError(f"{found} has version {raw['version']}, not 1", code="config.space")
        base = found.resolve().parent
        people = {role: _seat(role, entry, base) for role, entry in raw["people"].items()}
        hospitals = tuple(_seat(entry["name"], entry, base) for entry in raw["hospitals"])
        return SpaceFile(
            path=found,
            portal=raw["portal"],
            rpc=raw.get("rpc"),
            trust=base / raw["trust"],
            fingerprint=raw["fingerprint"],
            people=people,
            hospitals=hospitals,
        )
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"{found} is not a space file: {error!r}", code="config.space") from error


def _seat(name: str, entry: Mapping[str, Any], base: Path) -> Seat:
    def path(key: str) -> Path | None:
        return base / entry[key] if entry.get(key) else None

    return Seat(
        name=name,
        participant=entry["participant"],
        key_file=base / entry["key_file"],
        approver_file=path("approver_file"),
        user=entry.get("user"),
        password_file=path("password_file"),
        datasets=tuple(entry.get("datasets", ())),
    )

"""What a space is built from: the hospitals' folders, and who takes part.

The demo reads `fixtures/`; `up --hospitals DIR` reads one folder per hospital. File *names* are looked at here, never
a file's content: rows are read by the hospital's own node alone.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.places import ROOT

FIXTURES = ROOT / "fixtures"
_DATA = {".csv", ".parquet"}


class SourceError(RuntimeError):
    """The folder given does not hold what a space can be built from."""


@dataclass(frozen=True)
class DatasetSource:
    """One file of one hospital; without a dictionary the node drafts one."""

    file: Path
    dictionary: Path | None

    @property
    def name(self) -> str:
        return self.file.stem


@dataclass(frozen=True)
class Organisation:
    """A participant to be; `key` names its folder."""

    key: str
    role: str
    name: dict[str, str]
    admitted_as: tuple[str, ...]
    datasets: tuple[DatasetSource, ...] = ()


@dataclass(frozen=True)
class SignIn:
    """A person who may sign in to the portal's pages."""

    username: str
    organisation: str
    roles: tuple[str, ...]
    name: dict[str, str]


@dataclass(frozen=True)
class Cast:
    """Everybody in the space."""

    organisations: tuple[Organisation, ...]
    people: tuple[SignIn, ...]

    @property
    def hospitals(self) -> tuple[Organisation, ...]:
        return tuple(one for one in self.organisations if one.role == "provider")

    @property
    def described(self) -> bool:
        """Every file has its dictionary."""
        return all(source.dictionary is not None for one in self.hospitals for source in one.datasets)


def demo_cast() -> Cast:
    """The commission, its computing office, a device maker and the four hospitals of `fixtures/hospitals/uci-heart`."""
    folder = FIXTURES / "hospitals" / "uci-heart"
    organisations, people = _read_people()
    complete = [
        Organisation(
            **{
                **one.__dict__,
                "datasets": (DatasetSource(folder / f"{one.key}.csv", folder / "dictionary.json"),),
            }
        )
        if one.role == "provider"
        else one
        for one in organisations
    ]
    return Cast(tuple(complete), tuple(people))


def cast_of(folder: Path) -> Cast:
    """The offices of the demo around the hospitals whose folders lie in `folder`."""
    organisations, people = _read_people()
    offices = [one for one in organisations if one.role != "provider"]
    staff = [one for one in people if one.organisation in {office.key for office in offices}]
    hospitals = [_hospital(path) for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] != "."]
    if not hospitals:
        raise SourceError(
            f"{folder} holds no hospital's folder: one folder per hospital, with CSV or Parquet files in it"
        )
    taken = {one.key for one in offices}
    if clash := taken & {one.key for one in hospitals}:
        raise SourceError(f"{folder}: the name {clash.pop()!r} is taken by an office of the space")
    staff += [SignIn(one.key, one.key, ("data_officer", "engineer"), one.name) for one in hospitals]
    return Cast((*offices, *hospitals), tuple(staff))


def _hospital(folder: Path) -> Organisation:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", folder.name):
        raise SourceError(f"{folder.name!r}: a hospital's folder is named with letters, digits, - and _")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _DATA and path.name[0] != "."]
    if not files:
        raise SourceError(f"{folder} holds no CSV or Parquet file")
    stems = [path.stem for path in files]
    if len(set(stems)) != len(stems):
        raise SourceError(f"{folder}: two files with one name; a dataset is named by its file")
    return Organisation(
        key=folder.name,
        role="provider",
        name={"zh": folder.name, "en": folder.name},
        admitted_as=("provider",),
        datasets=tuple(DatasetSource(path, _dictionary_of(path)) for path in files),
    )


def _dictionary_of(file: Path) -> Path | None:
    beside = file.with_name(f"{file.stem}.dictionary.json")
    return beside if beside.exists() else None


def _read_people() -> tuple[list[Organisation], list[SignIn]]:
    content: dict[str, Any] = json.loads((FIXTURES / "people.json").read_text("utf-8"))
    organisations = [
        Organisation(one["key"], one["role"], one["name"], tuple(one["admitted_as"]))
        for one in content["organisations"]
    ]
    people = [
        SignIn(one["username"], one["organisation"], tuple(one["roles"]), one["name"]) for one in content["people"]
    ]
    return organisations, people

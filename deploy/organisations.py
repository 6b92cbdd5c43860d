"""The homes of the organisations: each makes its own keys, in its own folder, before anybody talks to a portal.

A provider's home also gets its own copy of each of its files, readable by it alone. Only the copy is made here: rows
are read by the hospital's node. The policy is one for trying things out; a node that a hospital sets up denies.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from deploy.sources import Organisation
from mpc.node import config, desk
from mpc.node.config import Config

POLICY = Path(__file__).with_name("policy.toml")


def make_home(home: Path, organisation: Organisation, *, portal: str) -> Config:
    """The organisation's home: made when there is none, its portal's address brought up to date when there is."""
    if (home / "config.toml").exists():
        return _for_trying_out(replace(config.load(home), portal=portal))
    for left in ("keys.json", "approver.json"):  # of a set-up that was interrupted before config.toml was written
        (home / left).unlink(missing_ok=True)
    return _for_trying_out(desk.init(
        home, role=organisation.role, portal=portal, name_zh=organisation.name["zh"], name_en=organisation.name["en"],
        policy=POLICY.read_text()))


def _for_trying_out(known: Config) -> Config:
    """A node of its own accord talks to no development chain; this space's is one."""
    known = replace(known, env="development")
    config.save(known)
    return known


def adopt_trust(home: Path, trust: Path, *, fingerprint: str) -> None:
    """Give the home the trust file and, by this file and not through the portal, its fingerprint."""
    desk.adopt_trust(home, trust, fingerprint)


def bring_file(home: Path, file: Path) -> Path:
    """Put the hospital's own copy of a file into its home, readable by its owner only."""
    folder = home / "data"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = folder / file.name
    part = copy.with_name(copy.name + ".part")
    with file.open("rb") as source, os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as to:
        shutil.copyfileobj(source, to)
    part.replace(copy)
    return copy

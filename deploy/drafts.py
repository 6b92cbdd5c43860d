"""Dictionaries for files that came without one: drafted by the node's own program, for people to look at.

The draft says nothing exact: bounds are widened outward, rare codes left out (`mpc.node.data`).
"""

from pathlib import Path

from deploy import environment
from deploy.commands import Command
from deploy.sources import Cast


def draft_missing(cast: Cast, logs: Path) -> list[Path]:
    """Write NAME.dictionary.draft.json beside each file without a dictionary; answers what was written."""
    commands = []
    for hospital in cast.hospitals:
        for source in hospital.datasets:
            if source.dictionary is None:
                words = environment.python("-m", "mpc.node", "draft", "--file", str(source.file))
                name = f"draft-{hospital.key}-{source.name}"
                commands.append((source.file, Command(name, words, environment.node(), logs)))
    written = []
    for file, command in commands:
        draft = file.with_name(f"{file.stem}.dictionary.draft.json")
        draft.write_text(command.finish(), encoding="utf-8")
        written.append(draft)
    return written

"""Every text of the pages has its Chinese, the compiled file is that of the source, every state has a word."""

import gettext
import re
from importlib import import_module
from pathlib import Path

import pytest

from dataspace.templatetags.words import CODES, KINDS, STATES

AREAS = {
    "participant": "dataspace.participants",
    "dataset": "dataspace.datasets",
    "scenario": "dataspace.scenarios",
    "grant": "dataspace.grants",
    "product": "marketplace.products",
    "agreement": "marketplace.agreements",
    "job": "marketplace.jobs",
}
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def entries(path: Path) -> list[dict[str, str]]:
    """The entries of a .po file: context, id, translation; the header is left out."""
    found = []
    for block in path.read_text("utf-8").split("\n\n")[1:]:
        entry: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                entry["flags"] = entry.get("flags", "") + line
                continue
            if not line.startswith('"'):
                name = line.split(" ", 1)[0]
            piece = "".join(QUOTED.findall(line))
            entry[name] = entry.get(name, "") + piece.encode().decode("unicode_escape").encode("latin-1").decode()
        if entry.get("msgid"):
            found.append(entry)
    return found


def chinese(root: Path) -> Path:
    return root / "dataspace" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"


def test_it_works(root: Path) -> None:
    found = entries(chinese(root))
    assert len(found) > 400
    assert [one["msgid"] for one in found if not (one.get("msgstr") or one.get("msgstr[0]"))] == []
    assert [one["msgid"] for one in found if "fuzzy" in one.get("flags", "")] == []


def test_the_compiled_file_is_that_of_the_source(root: Path) -> None:
    with chinese(root).with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for one in entries(chinese(root)):
        said = one.get("msgstr") or one["msgstr[0]"]
        if "msgctxt" in one:
            assert compiled.pgettext(one["msgctxt"], one["msgid"]) == said
        elif "msgid_plural" in one:
            assert compiled.ngettext(one["msgid"], one["msgid_plural"], 2) == said
        else:
            assert compiled.gettext(one["msgid"]) == said


def test_every_text_of_a_page_is_in_the_catalogue(root: Path) -> None:
    known = {one["msgid"] for one in entries(chinese(root))}
    for folder in ("dataspace/templates", "marketplace/templates"):
        for path in (root / folder).rglob("*.html"):
            for text in re.findall(r"{% translate (\"[^\"]*\"|'[^']*')", path.read_text("utf-8")):
                assert text[1:-1] in known, f"{path.name}: {text}"


def test_placeholders_survive(root: Path) -> None:
    for one in entries(chinese(root)):
        said = one.get("msgstr") or one["msgstr[0]"]
        assert set(re.findall(r"%\(\w+\)s", said)) <= set(re.findall(r"%\(\w+\)s", one["msgid"])), one["msgid"]


@pytest.mark.parametrize("kind", sorted(AREAS))
def test_every_state_and_event_has_a_word(kind: str) -> None:
    states = import_module(f"{AREAS[kind]}.states")
    assert {str(state) for state in states.State} == set(STATES[kind])
    assert {f"{kind}.{move.value}" for move in states.Move} <= set(KINDS)


def test_every_refusal_code_of_a_node_has_a_word() -> None:
    from mpc.node.errors import CODES as known

    assert set(known) - set(CODES) == set()

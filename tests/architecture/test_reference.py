"""The generated pages are what the code says, and every code in them exists in the code."""

from __future__ import annotations

import re

from mpc.catalog import CATALOG
from mpc.node.errors import CODES
from tests.architecture import reference
from tests.architecture.source import ROOT, modules, tracked


def test_the_pages_are_fresh() -> None:
    assert reference.stale() == []


def test_every_code_of_a_node_has_a_meaning() -> None:
    assert sorted(CODES) == sorted(reference.NODE_MEANINGS)


def test_every_code_of_the_sdk_exists() -> None:
    text = "\n".join(path.read_text("utf-8") for path in modules())
    built = {f"job.{state}" for state in ("refused", "failed", "cancelled", "expired")}
    missing = [code for code in reference.SDK_MEANINGS if f'"{code}"' not in text and code not in built]
    assert missing == []


def test_links_between_pages_lead_somewhere() -> None:
    wrong = []
    for page in tracked():
        if page.suffix != ".md" or "node_modules" in page.parts:
            continue
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8")):
            if not (page.parent / target).exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert wrong == []


def test_files_named_in_where_md_exist() -> None:
    text = (ROOT / "docs" / "where.md").read_text("utf-8")
    named = set(re.findall(r"`((?:ledger|mpc|marketplace|dataspace|deploy|docs|tests|fixtures)/[\w./-]+)`", text))
    assert [name for name in sorted(named) if "NAME" not in name and not (ROOT / name).exists()] == []


def test_the_threat_model_says_of_every_function_what_each_party_learns() -> None:
    text = (ROOT / "docs/explanation/threat-model.md").read_text()
    (head,) = [line for line in text.splitlines() if line.startswith("| who |")]
    assert {f"`{entry.name}`" for entry in CATALOG.values()} == set(re.findall(r"`[^`]+`", head))
    rows = text[text.index(head):].split("\n\n")[0].splitlines()[2:]
    for party in ("consumer", "hospital", "dealer", "portal", "relay", "database", "chain"):
        assert any(party in row.split("|")[1] and all(cell.strip() for cell in row.split("|")[1:-1]) for row in rows)

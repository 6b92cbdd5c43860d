"""What we ship and did not write is what the lock says, and it says all of it."""

from pathlib import Path

import pytest

from deploy import vendor


def test_it_works() -> None:
    assert list(vendor.problems()) == []


def test_every_line_of_the_lock_names_its_origin() -> None:
    for row in vendor.read_lock():
        assert row.name
        assert row.version
        assert row.licence
        assert len(row.sha256) == 64


def test_a_changed_or_unknown_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = vendor.read_lock()
    (tmp_path / "vendor").mkdir()
    for row in rows[1:]:
        target = tmp_path / row.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((vendor.STATIC / row.file).read_bytes())
    (tmp_path / rows[1].file).write_bytes(b"changed")
    (tmp_path / "vendor" / "stray.js").write_bytes(b"stray")
    (tmp_path / "vendor.lock").write_bytes(vendor.LOCK.read_bytes())
    monkeypatch.setattr(vendor, "STATIC", tmp_path)
    monkeypatch.setattr(vendor, "LOCK", tmp_path / "vendor.lock")
    assert list(vendor.problems()) == [
        f"{rows[0].file}: missing",
        f"{rows[1].file}: changed since it was locked",
        "vendor/stray.js: not in the lock",
    ]


def test_every_icon_a_page_uses_is_in_the_sprite(root: Path) -> None:
    import re

    sprite = (vendor.STATIC / vendor.SPRITE).read_text("utf-8")
    there = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    used: set[str] = set()
    for folder in ("dataspace/templates", "marketplace/templates"):
        for path in (root / folder).rglob("*.html"):
            text = path.read_text("utf-8")
            used |= set(re.findall(r'{% icon "([^"]+)"', text)) | set(re.findall(r'glyph="([^"]+)"', text))
    for name in ("dataspace/templatetags/words.py", "dataspace/templatetags/xinglin.py", "marketplace/home/waiting.py"):
        text = (root / name).read_text("utf-8")
        used |= set(re.findall(r'Look\("\w+", "([^"]+)"', text)) | set(re.findall(r'\bicon\("([^"]+)"\)', text))
        used |= set(re.findall(r'Item\(\s*"([^"]+)"', text))
    assert used - there == set()

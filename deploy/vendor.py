"""The front-end files that we ship and did not write, each with its origin, version, licence and hash.

``--check`` hashes what is committed and compares it with ``vendor.lock``; ``--update`` fetches the pinned packages
with npm, copies the files and writes the lock. Nothing here runs when the portal starts: the files are committed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "dataspace" / "static"
LOCK = STATIC / "vendor.lock"


@dataclass(frozen=True)
class Source:
    """One file out of one package: where it comes from and where we keep it."""

    package: str
    version: str
    licence: str
    path: str
    file: str


@dataclass(frozen=True)
class Locked:
    """A line of the lock."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str


NPM = (
    Source("@tabler/core", "1.6.1", "MIT", "dist/css/tabler.min.css", "vendor/tabler.min.css"),
    Source(
        "@fontsource-variable/inter",
        "5.3.0",
        "OFL-1.1",
        "files/inter-latin-wght-normal.woff2",
        "vendor/fonts/inter-latin-wght-normal.woff2",
    ),
    Source("@fontsource-variable/inter", "5.3.0", "OFL-1.1", "LICENSE", "vendor/licences/inter.txt"),
    Source(
        "@fontsource/ibm-plex-mono",
        "5.3.0",
        "OFL-1.1",
        "files/ibm-plex-mono-latin-400-normal.woff2",
        "vendor/fonts/ibm-plex-mono-latin-400-normal.woff2",
    ),
    Source("@fontsource/ibm-plex-mono", "5.3.0", "OFL-1.1", "LICENSE", "vendor/licences/ibm-plex-mono.txt"),
    Source("@tabler/icons", "3.51.0", "MIT", "LICENSE", "vendor/licences/tabler-icons.txt"),
)
HTMX = Source("django-htmx", "1.29.0", "0BSD", "static/django_htmx/htmx-2.min.js", "vendor/htmx.min.js")
SPRITE = "vendor/icons.svg"
ICONS_PACKAGE = "@tabler/icons"
ICONS = (
    "alert-triangle",
    "archive",
    "arrow-back-up",
    "ban",
    "battery-1",
    "binary-tree-2",
    "book",
    "broadcast",
    "building-hospital",
    "building-off",
    "building-store",
    "calendar-off",
    "calendar-pause",
    "check",
    "checkbox",
    "circle-check",
    "circle-dashed",
    "circle-x",
    "clock-hour-4",
    "copy",
    "cpu",
    "database",
    "door",
    "download",
    "eye-check",
    "eye-off",
    "file-description",
    "fingerprint",
    "hand-stop",
    "history",
    "home",
    "info-circle",
    "key",
    "language",
    "lock",
    "lock-open",
    "login-2",
    "logout",
    "menu-2",
    "moon",
    "pencil",
    "player-pause",
    "plug-connected",
    "receipt-2",
    "refresh",
    "report-analytics",
    "scale",
    "search",
    "send",
    "server-2",
    "shield-check",
    "shopping-bag",
    "stack-2",
    "loader-2",
    "user-circle",
    "users",
    "writing-sign",
    "x",
)
FRUIT = (
    '<symbol id="fruit" viewBox="0 0 24 24">'
    '<rect x="4" y="4" width="16" height="16" rx="5.2" stroke-width="2.6"/></symbol>'
)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_lock() -> list[Locked]:
    """The lock as committed."""
    return [Locked(**row) for row in json.loads(LOCK.read_text("utf-8"))]


def problems() -> Iterator[str]:
    """What differs between the lock and the files; nothing when all is well."""
    rows = read_lock()
    known = {row.file for row in rows}
    for row in rows:
        path = STATIC / row.file
        if not path.is_file():
            yield f"{row.file}: missing"
        elif digest(path) != row.sha256:
            yield f"{row.file}: changed since it was locked"
    for path in sorted((STATIC / "vendor").rglob("*")):
        name = path.relative_to(STATIC).as_posix()
        if path.is_file() and name not in known:
            yield f"{name}: not in the lock"


def fetch(package: str, version: str, folder: Path) -> Path:
    """The package as npm packs it, unpacked."""
    done = subprocess.run(
        ["npm", "pack", f"{package}@{version}", "--json", "--pack-destination", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(done.stdout)
    row = answer[0] if isinstance(answer, list) else next(iter(answer.values()))
    home = folder / package.replace("/", "-")
    with tarfile.open(folder / row["filename"]) as archive:
        archive.extractall(home, filter="data")
    return home / "package"


def sprite(icons: Path) -> str:
    """The icons we use, as symbols of one file; the fruit is ours."""
    symbols = [FRUIT]
    for name in ICONS:
        text = (icons / "icons" / "outline" / f"{name}.svg").read_text("utf-8")
        body = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", text, flags=re.DOTALL)
        body = re.sub(r"\s*\n\s*", "", body).replace(" />", "/>")
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round"'
            f' stroke-linejoin="round">{body}</symbol>'
        )
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def update() -> None:
    """Fetch, copy, lock."""
    rows: list[Locked] = []

    def keep(name: str, version: str, licence: str, file: str, content: bytes) -> None:
        target = STATIC / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        rows.append(Locked(name, version, file, digest(target), licence))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        homes = {(s.package, s.version): fetch(s.package, s.version, folder) for s in NPM}
        for source in NPM:
            content = (homes[source.package, source.version] / source.path).read_bytes()
            # A source map that is not shipped would only be a 404 in the console.
            content = re.sub(rb"\n/\*# sourceMappingURL=.*?\*/\s*$", b"\n", content)
            keep(source.package, source.version, source.licence, source.file, content)
        version = next(s.version for s in NPM if s.package == ICONS_PACKAGE)
        icons = homes[ICONS_PACKAGE, version]
        keep(ICONS_PACKAGE, version, "MIT", SPRITE, sprite(icons).encode())
    if metadata.version(HTMX.package) != HTMX.version:
        raise SystemExit(f"{HTMX.package} is {metadata.version(HTMX.package)}, the pin here says {HTMX.version}")
    htmx = metadata.distribution(HTMX.package).locate_file(f"django_htmx/{HTMX.path}")
    keep(HTMX.package, HTMX.version, HTMX.licence, HTMX.file, Path(str(htmx)).read_bytes())
    rows.sort(key=lambda row: row.file)
    LOCK.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")


def main() -> int:
    """Check or update, as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--check", action="store_true", help="compare the committed files with the lock")
    group.add_argument("--update", action="store_true", help="fetch the pinned packages and write files and lock")
    if parser.parse_args().update:
        update()
    found = list(problems())
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

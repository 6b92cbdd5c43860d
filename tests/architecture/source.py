"""Reads the repository's own source for the tests beside it; parses, never imports."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dataspace", "marketplace", "mpc", "ledger", "deploy")


def modules(*packages: str) -> list[Path]:
    """Every Python file of these packages (all five if none is named), migrations left out."""
    found = [path for package in packages or PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts]


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_level_imports(path: Path) -> set[str]:
    """What is imported when the module is: functions' bodies and `if TYPE_CHECKING` are left out."""
    return set(_imports(tree(path).body, dotted(path)))


def all_imports(path: Path) -> set[str]:
    """Every import of the file, also inside functions, but not under TYPE_CHECKING."""
    return set(_imports(tree(path).body, dotted(path), deep=True))


def _imports(body: list[ast.stmt], module: str, *, deep: bool = False) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
            yield from (f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse, module, deep=deep)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not deep:
            continue
        else:
            for name in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(node, name, []) or [], module, deep=deep)
            for handler in getattr(node, "handlers", []):
                yield from _imports(handler.body, module, deep=deep)


def _is_module(name: str) -> bool:
    base = ROOT.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def tracked() -> list[Path]:
    """The files git knows; when this is no clone, every file outside the ignored folders."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [ROOT / name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    ignored = {".git", ".venv", "var", "node_modules", "__pycache__"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not ignored & set(path.relative_to(ROOT).parts)]

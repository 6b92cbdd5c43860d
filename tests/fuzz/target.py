"""What a target is: how bytes reach a parser, which errors it has declared, and from what a mutation starts.

`MAX_LENGTH` is what the fuzzer is told, and no seed may be longer: libFuzzer cuts what is, and starts from a ruin.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "fixtures" / "golden"
MAX_LENGTH = 1 << 17


class BrokenPromise(AssertionError):
    """The parser raised nothing, and let something happen that must not."""


@dataclass(frozen=True)
class Target:
    """`run` may end in one of `declared`; `seeds` are what a mutation starts from. `dear`: one run takes milliseconds,
    so a test tries fewer."""

    run: Callable[[bytes], object]
    declared: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]
    dear: bool = False


def golden(*names: str) -> Callable[[], list[bytes]]:
    """Seeds from the golden files."""
    return lambda: [(GOLDEN / name).read_bytes() for name in names]


@cache
def _root() -> Path:
    """Everything of this process, gone with it."""
    made = tempfile.mkdtemp(prefix="xinglin-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def fresh_folder() -> Path:
    """For whatever lives as long as the process."""
    return Path(tempfile.mkdtemp(dir=_root()))


def in_a_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """For what reads a file: it finds the bytes under this name in a folder of its own."""
    def run(body: bytes) -> object:
        with tempfile.TemporaryDirectory(dir=_root()) as folder:
            place = Path(folder) / name
            place.write_bytes(body)
            return read(place)
    return run


def promise(kept: bool, text: str) -> None:
    """Raise if it is not kept."""
    if not kept:
        raise BrokenPromise(text)


def offend(target: Target, body: bytes) -> Exception | None:
    """What escaped although nobody declared it."""
    try:
        target.run(body)
    except target.declared:
        return None
    except Exception as error:  # the finding itself
        return error
    return None

"""The way from a leaf to the root as a picture: where each box stands. Draws nothing and hashes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, BOX, TALL, STEP = 440, 170, 30, 58
LEFT, MIDDLE, RIGHT = 20, (WIDTH - BOX) // 2, WIDTH - BOX - 20


@dataclass(frozen=True)
class Box:
    """One hash. `kind`: leaf, path (computed from what lies below; the root is the last) or given (by the proof)."""

    kind: str
    hash: str
    x: int
    y: int

    @property
    def text_x(self) -> int:
        return self.x + BOX // 2

    @property
    def text_y(self) -> int:
        return self.y + TALL // 2 + 4


@dataclass(frozen=True)
class Line:
    """From a box up to the one computed from it; `on` the way from the leaf."""

    on: bool
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True)
class Picture:
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    height: int
    width: int = WIDTH
    box: int = BOX
    tall: int = TALL


def siblings_left(index: int, size: int, steps: int) -> list[bool]:
    """For each step of an inclusion proof (RFC 9162, 2.1.3.2): does the sibling stand to the left?"""
    position, last, found = index, size - 1, []
    for _ in range(steps):
        left = bool(position & 1) or position == last
        found.append(left)
        while left and not position & 1 and position:
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    return found


def picture(*, index: int, size: int, hashes: Sequence[str], path: Sequence[str]) -> Picture:
    """`hashes`: leaf first, then each node on the way, the root last: one more than `path`, the siblings."""
    lefts = siblings_left(index, size, len(path))
    top, boxes, lines = STEP * len(path) + 10, [], []
    for level, (own, sibling) in enumerate(zip(hashes, path, strict=False)):
        y = top - STEP * level
        mine, other = (RIGHT, LEFT) if lefts[level] else (LEFT, RIGHT)
        above = MIDDLE if level + 1 == len(path) else RIGHT if lefts[level + 1] else LEFT
        boxes += [Box("path" if level else "leaf", own, mine, y), Box("given", sibling, other, y)]
        lines += [Line(x == mine, x + BOX // 2, y, above + BOX // 2, y - STEP + TALL) for x in (other, mine)]
    boxes.append(Box("path" if path else "leaf", hashes[-1], MIDDLE, 10))
    return Picture(tuple(boxes), tuple(lines), top + TALL + 10)

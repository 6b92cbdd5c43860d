"""One line an event on standard error: UTC time, who, what, then ids and counts. Nothing else is ever logged."""

import re
import sys
from datetime import UTC, datetime

PLAIN = re.compile(r"[A-Za-z0-9_.:@/-]{1,120}\Z")


def note(event: str, **facts: str | int | None) -> None:
    """Write the line; a fact that is not a plain id, code or count is replaced by its length."""
    words = [datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), event]
    for name, value in facts.items():
        text = str(value)
        words.append(f"{name}={text if PLAIN.match(text) else f'<{len(text)} characters>'}")
    sys.stderr.write(" ".join(words) + "\n")
    sys.stderr.flush()

"""One command that runs to its end: started at once, looked at later, its words kept in `var/log`."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.children import dies_with_parent
from deploy.places import ROOT
from deploy.supervisor import ChildDied


class Command:
    """Starts it; `finish` waits, returns what it printed, and raises with the end of its log if it failed."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], logs: Path) -> None:
        self._name = name
        self._log = logs / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509 - it only calls prctl
            )

    def finish(self, *, seconds: float = 120) -> str:
        try:
            output, _ = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise ChildDied(self._name, f"did not end within {seconds:.0f} s", self._tail()) from None
        if self._process.returncode:
            words = output.decode(errors="replace")[-2000:]
            raise ChildDied(self._name, f"failed (status {self._process.returncode})", f"{words}\n{self._tail()}")
        return output.decode()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-25:])

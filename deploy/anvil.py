"""One anvil process, and how it is asked. It mines only when it is told to, at the second it is told.

So a chain is a function of what was sent and of when each block was made: the same input gives the same blocks, hashes
included. Nothing here decides what is sent or kept.
"""

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.children import dies_with_parent, free_port
from deploy.waiting import wait_until
from ledger.posting import Poster, PostFailed

ANVIL = Path(__file__).parent.parent / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
START_WITHIN = 20.0
ANSWER_WITHIN = 60.0


class ChainTrouble(Exception):
    """The embedded chain cannot be started, or is not the one its folder holds."""


GONE = (OSError, PostFailed, ChainTrouble)  # what a dead or dying anvil looks like


class Anvil:
    """Started from the main thread, for it dies with the thread that started it; asked from any.

    A block is final when it lies two epochs of `slots` under the head.
    """

    def __init__(self, home: Path, *, chain_id: int, genesis_time: int, state: Path | None = None,
                 slots: int = 1) -> None:
        if not ANVIL.exists():
            raise ChainTrouble("anvil is not installed: npm ci")
        self._poster = Poster(ANSWER_WITHIN)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            str(ANVIL), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id),
            "--accounts", "0", "--base-fee", "0", "--gas-price", "0", "--hardfork", "london", "--no-mining",
            "--timestamp", str(genesis_time), "--slots-in-an-epoch", str(slots), "--prune-history", "256",
            "--disable-default-create2-deployer", "--quiet",
        ]  # fmt: skip
        if state is not None:
            command += ["--load-state", str(state)]
        with (home / "anvil.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home,
                                             env={"HOME": str(home)}, preexec_fn=dies_with_parent(signal.SIGKILL))  # noqa: PLW1509
        self._chain_id = chain_id
        wait_until(lambda: not self.alive or self._answers(), seconds=START_WITHIN, step=0.01)
        if not self.alive or not self._answers():
            self.kill()
            raise ChainTrouble(f"anvil does not start; see {home / 'anvil.log'}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._poster.close()

    def ask(self, method: str, *params: Any) -> Any:
        """The result; an error answer raises ChainTrouble."""
        (answer,) = self.ask_all([(method, params)])
        if answer.get("result") is None:
            raise ChainTrouble(f"anvil refused {method}: {str(answer.get('error'))[:200]}")
        return answer["result"]

    def ask_all(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        """Many calls in one request; their whole answers, in order."""
        body = [{"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
                for number, (method, params) in enumerate(calls)]  # fmt: skip
        if not body:
            return []
        try:
            found = json.loads(self.post(json.dumps(body).encode()))
            return sorted(found, key=lambda one: int(one["id"]))
        except (ValueError, KeyError, TypeError) as trouble:
            raise ChainTrouble("anvil's answer cannot be read") from trouble

    def post(self, body: bytes) -> bytes:
        """Raises OSError or PostFailed when anvil is gone."""
        status, answer = self._poster.post(self.url, body)
        if status != 200:
            raise ChainTrouble(f"anvil answered with HTTP {status}")
        return answer

    def _answers(self) -> bool:
        try:
            return int(self.ask("eth_chainId"), 16) == self._chain_id
        except GONE:
            return False

"""One anvil process, and how it is asked. It mines only when it is told to, at the second it is told.

So a chain is a function of what was sent and of when each block was made: the same input gives the same blocks, hashes
included. It runs in a network namespace of its own, in which its TCP port reaches nobody; the way in is its Unix
socket, in a folder that is ours alone, and the socket's name is gone once we are connected. Where the kernel gives no
namespace, its port can be reached by other processes of this machine: `apart` says which. Nothing here decides what is
sent or kept.
"""

import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deploy.anvilpipe import Busy, Pipes
from deploy.children import dies_with_parent, free_port
from deploy.waiting import wait_until
from ledger.posting import PostFailed

ANVIL = Path(__file__).parent.parent / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
START_WITHIN = 20.0
ANSWER_WITHIN = 60.0
DUMPED_WITHIN = 600.0
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
_libc = ctypes.CDLL(None)


class ChainTrouble(Exception):
    """The embedded chain cannot be started, or is not the one its folder holds."""


GONE = (OSError, PostFailed, ChainTrouble)  # what a dead or dying anvil looks like


class Anvil:
    """Started from the main thread, for it dies with the thread that started it; asked from any.

    A block is final when it lies two epochs of `slots` under the head. `hidden` is false in tests that want its port.
    """

    def __init__(self, home: Path, *, chain_id: int, genesis_time: int, state: Path | None = None,
                 slots: int = 1, hidden: bool = True) -> None:
        if not ANVIL.exists():
            raise ChainTrouble("anvil is not installed: npm ci")
        self._pipes: Pipes | None = None
        self._dumping = False
        self._chain_id = chain_id
        self._socket = _place_for(home)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            str(ANVIL), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id),
            "--ipc", str(self._socket.relative_to(home)),
            "--accounts", "0", "--base-fee", "0", "--gas-price", "0", "--hardfork", "london", "--no-mining",
            "--timestamp", str(genesis_time), "--slots-in-an-epoch", str(slots), "--prune-history", "256",
            "--disable-default-create2-deployer", "--quiet",
        ]  # fmt: skip
        if state is not None:
            command += ["--load-state", str(state)]
        before_exec = _hidden(dies_with_parent(signal.SIGKILL)) if hidden else dies_with_parent(signal.SIGKILL)
        with (home / "anvil.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home,
                                             env={"HOME": str(home)},
                                             # between fork and exec it makes system calls alone (prctl, unshare),
                                             # which take no lock that another thread may hold
                                             preexec_fn=before_exec)  # noqa: PLW1509
        self.apart = _network_of(self.pid) != _network_of(os.getpid())
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
        if self._pipes is not None:
            self._pipes.close()

    def dump(self) -> str:
        """The whole chain, as anvil writes it."""
        self._dumping = True
        try:
            return str(self.ask("anvil_dumpState", within=DUMPED_WITHIN))
        finally:
            self._dumping = False

    def ask(self, method: str, *params: Any, within: float = ANSWER_WITHIN) -> Any:
        """The result; an error answer raises ChainTrouble."""
        (answer,) = self.ask_all([(method, params)], within=within)
        if answer.get("result") is None:
            raise ChainTrouble(f"anvil refused {method}: {str(answer.get('error'))[:200]}")
        return answer["result"]

    def ask_all(self, calls: Sequence[tuple[str, Sequence[Any]]], *,
                within: float = ANSWER_WITHIN) -> list[dict[str, Any]]:
        """Many calls in one request; their whole answers, in order."""
        body = [{"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
                for number, (method, params) in enumerate(calls)]  # fmt: skip
        if not body:
            return []
        try:
            found = json.loads(self.post(json.dumps(body).encode(), within=within))
            return sorted(found, key=lambda one: int(one["id"]))
        except (ValueError, KeyError, TypeError) as trouble:
            raise ChainTrouble("anvil's answer cannot be read") from trouble

    def post(self, body: bytes, *, within: float = ANSWER_WITHIN) -> bytes:
        """Raises OSError or PostFailed when anvil is gone; one that does not answer is ended: nothing is known of it.
        One that writes its whole chain down answers nobody meanwhile: that is waited for, and `Busy` ends nothing.

        Each call in the body carries an id: what has none is never answered.
        """
        if self._pipes is None:
            self._pipes = Pipes(self._socket)
        try:
            return self._pipes.post(body, within=DUMPED_WITHIN if self._dumping else within)
        except Busy:
            raise
        except (OSError, PostFailed):
            self._process.kill()
            raise

    def _answers(self) -> bool:
        try:
            return int(self.ask("eth_chainId"), 16) == self._chain_id
        except GONE:
            return False


def _place_for(home: Path) -> Path:
    """Where the socket will be: in a folder that nobody else may enter, and not there yet."""
    folder = home / "ipc"
    folder.mkdir(exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    place = folder / "anvil"
    place.unlink(missing_ok=True)
    return place


def _hidden(then: Callable[[], None]) -> Callable[[], None]:
    def before_exec() -> None:
        _leave_the_network()
        then()  # after it: changed credentials may clear the signal that comes with the parent's death
    return before_exec


def _leave_the_network() -> None:
    """In the child, before exec. Where the kernel does not allow it the child stays where it is; `apart` tells."""
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        _libc.unshare(CLONE_NEWNET)


def _network_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it ended, or hides itself; what is not seen to be apart is not called so
        return os.readlink("/proc/self/ns/net")

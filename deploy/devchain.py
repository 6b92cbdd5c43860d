"""The embedded chain: anvil under supervision, behind an allow-list, kept in snapshots.

    python -m deploy.devchain --home DIR --port RPCPORT [--chain-id N]

A development chain with one operator, and labelled so wherever it shows. What it promises: it dies with its parent; it
mines on demand and every second, `finalized` being two blocks behind the head; no account holds a key anybody knows; a
snapshot is whole or absent (dump, fsync, rename; never anvil's own `--state`, which a kill can leave empty).
What it does not promise: after a kill the height may go back to the last snapshot. Whoever sends transactions keeps
them and sends them again (the portal's journal; the same bytes, the same hash). And anvil itself listens on a random
port of 127.0.0.1 that is written nowhere: a process of this machine that goes looking for it can find it.
"""

import argparse
import ctypes
import fcntl
import gzip
import http.client
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from deploy.chainproxy import Door
from deploy.children import dies_with_parent, free_port
from deploy.waiting import wait_until

ANVIL = Path(__file__).parent.parent / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
GENERATIONS = ("state.json", "state.1.json", "state.2.json")
SNAPSHOT_EVERY = 30.0
SNAPSHOT_AFTER_SEND = 2.0  # soon after something was sent, so that little has to be sent again
PR_SET_PDEATHSIG = 1


class ChainTrouble(Exception):
    """The embedded chain cannot be started, or is not the one this folder holds."""


class DevChain:
    """One anvil, its door and its snapshots; `tick` is to be called about every second from the main thread."""

    def __init__(self, home: Path, *, port: int = 0, chain_id: int | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._take_lock()
        self._identity = self._read_identity(chain_id)
        self.chain_id = int(self._identity["chain_id"])
        self._anvil: subprocess.Popen[bytes] | None = None
        self._anvil_port = 0
        self._sent = threading.Event()
        self._snapshot_at = 0.0
        self._dump_took = 0.0
        self._serving: threading.Thread | None = None
        self._door = Door(port, lambda: self._anvil_port, self._sent.set)
        self.port: int = self._door.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "DevChain":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the chain answers; a first snapshot then holds the genesis, so that it never changes."""
        try:
            self._start_anvil()
            first = "genesis" not in self._identity
            if first:
                genesis = self._ask("eth_getBlockByNumber", "0x0", False)
                self._identity |= {"genesis": genesis["hash"], "genesis_time": genesis["timestamp"]}
            self.snapshot()
            if first:  # after the snapshot: a folder that names its genesis also holds it
                self._keep_identity()
        except BaseException:
            self.stop()
            raise
        self._serving = threading.Thread(target=self._door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._serving.start()

    def stop(self) -> None:
        """Keep what there is, and end anvil."""
        if self._anvil is not None and self._anvil.poll() is None:
            try:
                self.snapshot()
            except (OSError, ChainTrouble, http.client.HTTPException) as trouble:
                print(f"devchain: no last snapshot: {trouble}", file=sys.stderr, flush=True)
            self._anvil.kill()
            self._anvil.wait()
        self._anvil = None
        if self._serving is not None:
            self._door.shutdown()
            self._serving.join()
            self._serving = None
        self._door.server_close()
        self._lock.close()

    def tick(self) -> None:
        """Restart an anvil that ended; take the snapshot that is due."""
        if self._anvil is None or self._anvil.poll() is not None:
            print("devchain: anvil ended; starting it from the last snapshot", file=sys.stderr, flush=True)
            self._start_anvil()
        age = time.monotonic() - self._snapshot_at
        rest = max(SNAPSHOT_AFTER_SEND, 20 * self._dump_took)  # a large chain is not dumped all the time
        if age > max(SNAPSHOT_EVERY, rest) or (self._sent.is_set() and age > rest):
            self.snapshot()

    def snapshot(self) -> None:
        """Whole or not at all: three generations, each written aside, synced, then renamed."""
        began = time.monotonic()
        self._sent.clear()
        dumped = self._ask("anvil_dumpState")
        state = self._with_one_genesis(gzip.decompress(bytes.fromhex(dumped.removeprefix("0x"))))
        aside = self._write_aside(state)
        for newer, older in reversed(list(itertools.pairwise(GENERATIONS))):
            if (self.home / newer).exists():
                (self.home / newer).replace(self.home / older)
        aside.replace(self.home / GENERATIONS[0])
        self._sync_folder()
        self._snapshot_at = time.monotonic()
        self._dump_took = self._snapshot_at - began

    @property
    def anvil_pid(self) -> int:
        if self._anvil is None:
            raise ChainTrouble("the chain is not running")
        return self._anvil.pid

    def _start_anvil(self) -> None:
        """From the newest snapshot that loads. With snapshots of which none loads there is no chain, not a new one."""
        if not ANVIL.exists():
            raise ChainTrouble("anvil is not installed: npm ci")
        states: list[Path | None] = [self.home / name for name in GENERATIONS if (self.home / name).exists()]
        for state in states or [None]:
            for _ in range(3):  # the port was free a moment ago; somebody may have taken it
                if self._start_once(state):
                    return
            if state is not None:
                print(f"devchain: {state.name} does not load", file=sys.stderr, flush=True)
        raise ChainTrouble(f"anvil does not start; see {self.home / 'anvil.log'}")

    def _start_once(self, state: Path | None) -> bool:
        self._anvil_port = free_port()
        command = [
            str(ANVIL), "--host", "127.0.0.1", "--port", str(self._anvil_port), "--chain-id", str(self.chain_id),
            "--accounts", "0", "--base-fee", "0", "--gas-price", "0", "--hardfork", "london", "--mixed-mining",
            "--block-time", "1", "--slots-in-an-epoch", "1", "--prune-history", "256",
            "--disable-default-create2-deployer", "--quiet",
        ]  # fmt: skip
        if state is not None:
            command += ["--load-state", str(state)]
        with (self.home / "anvil.log").open("ab") as log:
            anvil = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home,
                                     env={"HOME": str(self.home)}, preexec_fn=dies_with_parent(signal.SIGKILL))  # noqa: PLW1509
        self._anvil = anvil
        wait_until(lambda: anvil.poll() is not None or self._answers(), seconds=20)
        if anvil.poll() is None and self._answers() and self._is_ours():
            return True
        anvil.kill()
        anvil.wait()
        return False

    def _answers(self) -> bool:
        try:
            return int(self._ask("eth_chainId"), 16) == self.chain_id
        except (OSError, ChainTrouble, http.client.HTTPException):
            return False

    def _is_ours(self) -> bool:
        genesis = self._ask("eth_getBlockByNumber", "0x0", False)["hash"]
        return bool(genesis == self._identity.get("genesis", genesis))

    def _ask(self, method: str, *params: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._anvil_port, timeout=60)
        try:
            call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            connection.request("POST", "/", call, {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except ValueError as trouble:
            raise ChainTrouble("anvil gave no JSON") from trouble
        finally:
            connection.close()
        if not answer.get("result"):
            raise ChainTrouble(f"anvil refused {method}")
        return answer["result"]

    def _take_lock(self) -> TextIO:
        lock = (self.home / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as trouble:
            lock.close()
            raise ChainTrouble(f"another process runs the chain in {self.home}") from trouble
        return lock

    def _read_identity(self, wanted: int | None) -> dict[str, Any]:
        """The chain id is random for each installation: no signature of one space is worth anything in another."""
        file = self.home / "chain.json"
        if not file.exists():
            return {"chain_id": wanted or secrets.randbelow(2**31 - 2**24) + 2**24}
        stored: dict[str, Any] = json.loads(file.read_text())
        if wanted not in (None, stored["chain_id"]):
            raise ChainTrouble(f"the chain in {self.home} has id {stored['chain_id']}, not {wanted}")
        return stored

    def _keep_identity(self) -> None:
        """Which chain this folder holds, written when it first runs."""
        self._write_aside((json.dumps(self._identity) + "\n").encode()).replace(self.home / "chain.json")
        self._sync_folder()

    def _write_aside(self, data: bytes) -> Path:
        """Bytes that are on the disk, under a name nobody reads; to be renamed."""
        aside = self.home / "aside.tmp"
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return aside

    def _sync_folder(self) -> None:
        folder = os.open(self.home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _with_one_genesis(self, state: bytes) -> bytes:
        """A chain that was loaded dumps two genesis blocks, its own and the new anvil's; only ours may load again."""
        kept = json.loads(state)
        kept["blocks"] = [block for block in kept["blocks"] if int(block["header"]["number"], 16) != 0
                          or block["header"]["timestamp"] == self._identity["genesis_time"]]
        return json.dumps(kept).encode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.devchain", description="the embedded chain")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="of the allow-list door, on 127.0.0.1; 0 = any")
    parser.add_argument("--chain-id", type=int)
    options = parser.parse_args()
    parent = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:
        return 1
    try:
        with DevChain(options.home.resolve(), port=options.port, chain_id=options.chain_id) as chain:
            print(f"ready {chain.url} chain id {chain.chain_id}", flush=True)
            while not stop.wait(0.5):
                try:
                    chain.tick()
                except (http.client.HTTPException, OSError) as trouble:  # anvil died meanwhile: the next tick sees it
                    print(f"devchain: {trouble!r}", file=sys.stderr, flush=True)
    except ChainTrouble as trouble:
        print(f"devchain: {trouble}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The embedded chain: anvil under supervision, behind an allow-list, every input in a journal.

    python -m deploy.devchain --home DIR --port RPCPORT [--chain-id N]

A development chain with one operator, and labelled so wherever it shows; it refuses to start where the environment says
production. What it promises: it dies with its parent; `finalized` is two blocks behind the head, and a block comes
every second while somebody asks; no account holds a key anybody knows; and nothing that it took is ever forgotten. A
transaction is in the journal, on the disk, before anvil sees it, and so is the time of every block: after a kill at any
moment the newest snapshot that loads plus the journal give the same chain again, block hashes included.
anvil itself has no port that anybody could reach (`deploy.anvil`). Where the kernel refuses the namespace that takes,
it is said at the start, and in the name by which the chain answers `web3_clientVersion`: " (its port is open)".
"""

import argparse
import ctypes
import gzip
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from deploy.anvil import GONE, Anvil, ChainTrouble
from deploy.chainproxy import Door
from deploy.chainstore import ChainStore, Made, Sent
from ledger.keys import keccak256
from ledger.profiles import PORT_OPEN

BLOCK_EVERY = 1.0  # seconds, while somebody asks
ASKED_WITHIN = 10.0
IDLE_BLOCK_EVERY = 30.0
SNAPSHOT_EVERY = 60.0
SNAPSHOT_AFTER_BLOCKS = 500  # replayed in about a second
PR_SET_PDEATHSIG = 1
CLIENT = re.compile(rb'(?<="result":")anvil[^"]*')


class DevChain:
    """One anvil, its door and its folder; `tick` is to be called about every second from the main thread."""

    def __init__(self, home: Path, *, port: int = 0, chain_id: int | None = None) -> None:
        if os.environ.get("XINGLIN_ENV") == "production":
            raise ChainTrouble("the embedded chain is for development; XINGLIN_ENV says production")
        self.home = home
        self._store = ChainStore(home, chain_id=chain_id)
        self.chain_id = int(self._store.identity["chain_id"])
        self._anvil: Anvil | None = None
        self._turn = threading.RLock()  # of whoever sends, mines, dumps or restarts
        self._height = self._kept_height = 0
        self._block_time = 0
        self._waiting: list[str] = []
        self._made_at = self._asked_at = self._kept_at = time.monotonic()
        self._dump_took = 0.0
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._door = Door(port, self)
        self.port: int = self._door.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "DevChain":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the chain answers."""
        try:
            if "genesis_time" not in self._store.identity:
                self._store.settle_identity(genesis_time=int(time.time()))
            self._restore()
            self._store.open_journal()
            self.make_block()
        except BaseException:
            self.stop()
            raise
        for work in (lambda: self._door.serve_forever(poll_interval=0.1), self._keep_time):
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """Keep what there is, and end anvil."""
        self._closing.set()
        if self._threads:
            self._door.shutdown()
            for thread in self._threads:
                thread.join()
            self._threads = []
        self._door.server_close()
        with self._turn:
            if self._anvil is not None:
                try:
                    self.snapshot()
                except GONE as trouble:  # the journal has it all the same
                    print(f"devchain: no last snapshot: {trouble}", file=sys.stderr, flush=True)
                self._anvil.kill()
            self._anvil = None
            self._store.close()

    def tick(self) -> None:
        """Restart an anvil that ended; take the snapshot that is due."""
        with self._turn:
            if not self.alive:
                print("devchain: anvil ended; building the chain again", file=sys.stderr, flush=True)
                self._restore()
            rest = 20 * self._dump_took  # a large chain is not dumped all the time
            age, blocks = time.monotonic() - self._kept_at, self._height - self._kept_height
            if (age > SNAPSHOT_EVERY or blocks > SNAPSHOT_AFTER_BLOCKS) and age > rest:
                try:
                    self.snapshot()
                except GONE as trouble:  # anvil died meanwhile: the next tick sees it
                    print(f"devchain: no snapshot: {trouble!r}", file=sys.stderr, flush=True)

    def snapshot(self) -> None:
        """Dump the chain while nothing moves, and begin a new journal with what still waits for its turn."""
        with self._turn:
            if self._anvil is None or self._height == self._kept_height:
                return
            began = time.monotonic()
            waiting = self._still_waiting(self._anvil)
            state = _with_one_genesis(gzip.decompress(bytes.fromhex(self._anvil.dump().removeprefix("0x"))))
            self._store.keep(state, self._height, waiting)
            self._waiting = waiting
            self._kept_at, self._kept_height = time.monotonic(), self._height
            self._dump_took = self._kept_at - began

    @property
    def anvil_pid(self) -> int:
        if self._anvil is None:
            raise ChainTrouble("the chain is not running")
        return self._anvil.pid

    @property
    def apart(self) -> bool:
        """Whether anvil's own port is out of everybody's reach."""
        return self._anvil is not None and self._anvil.apart

    @property
    def alive(self) -> bool:
        return self._anvil is not None and self._anvil.alive

    # --- what the door asks for

    def read(self, body: bytes) -> bytes:
        """anvil's answer, about a chain whose newest block is of now."""
        self._asked_at = time.monotonic()
        if self._asked_at - self._made_at > 2 * BLOCK_EVERY:
            self.make_block()
        anvil = self._running()
        answer = anvil.post(body)
        return answer if anvil.apart else CLIENT.sub(rb"\g<0> " + PORT_OPEN.encode(), answer)

    def send(self, body: bytes, raws: Sequence[str]) -> bytes:
        """anvil's answer. In the journal first; then sent; then a block at once, the one that the journal names."""
        self._asked_at = time.monotonic()
        with self._turn:
            block = self._next_block()
            self._store.append([*map(Sent, raws), block])
            self._waiting += raws
            try:
                answer = self._running().post(body)
                self._mine(self._running(), block)
            except BaseException:
                self._give_up()
                raise
            return answer

    # --- making blocks

    def _keep_time(self) -> None:
        """A block every second while somebody asks, a rare one otherwise, so that the head is never old."""
        while not self._closing.wait(0.1):
            now = time.monotonic()
            age, asked = now - self._made_at, now - self._asked_at < ASKED_WITHIN
            if age >= (BLOCK_EVERY if asked else IDLE_BLOCK_EVERY):
                try:
                    self.make_block()
                except GONE:  # the next tick starts anvil again
                    self._made_at = now

    def make_block(self) -> None:
        """A block of now, with whatever waits for it."""
        with self._turn:
            block = self._next_block()
            self._running()
            self._store.append([block])
            try:
                self._mine(self._running(), block)
            except BaseException:
                self._give_up()
                raise

    def _next_block(self) -> Made:
        return Made(self._height + 1, max(self._block_time, int(time.time())))

    def _mine(self, anvil: Anvil, block: Made) -> None:
        anvil.ask("evm_mine", {"timestamp": block.time})
        self._height, self._block_time, self._made_at = block.number, block.time, time.monotonic()

    def _running(self) -> Anvil:
        if self._anvil is None:
            raise ChainTrouble("the chain is being started")
        return self._anvil

    def _give_up(self) -> None:
        """Whether anvil did what the journal says is not known: it is ended, and the journal decides."""
        if self._anvil is not None:
            self._anvil.kill()

    # --- building the chain again

    def _restore(self) -> None:
        """From the newest snapshot that loads, or from genesis where the journal still reaches back to it."""
        states: list[Path | None] = [*self._store.states(), None]
        for state in states:
            try:
                self._restore_from(state)
                return
            except GONE as trouble:
                name = state.name if state else "the journal from genesis"
                print(f"devchain: {name} does not load: {trouble}", file=sys.stderr, flush=True)
        raise ChainTrouble(f"no snapshot loads and the journal does not reach genesis; see {self.home / 'anvil.log'}")

    def _restore_from(self, state: Path | None) -> None:
        identity = self._store.identity
        anvil = Anvil(self.home, chain_id=self.chain_id, genesis_time=int(identity["genesis_time"]), state=state)
        try:
            genesis = anvil.ask("eth_getBlockByNumber", "0x0", False)["hash"]
            if genesis != identity.get("genesis", genesis):
                raise ChainTrouble("it is of another chain")
            self._replay(anvil)
            if "genesis" not in identity:
                self._store.settle_identity(genesis=genesis)
        except BaseException:
            anvil.kill()
            raise
        self._anvil = anvil
        if not anvil.apart:
            print("devchain: no network namespace here: anvil's port can be reached by other processes of this machine",
                  file=sys.stderr, flush=True)

    def _replay(self, anvil: Anvil) -> None:
        """Send and mine again what the journal holds; what the snapshot has already, anvil refuses and we skip."""
        head = anvil.ask("eth_getBlockByNumber", "latest", False)
        self._height, self._block_time = int(head["number"], 16), int(head["timestamp"], 16)
        self._kept_height = self._height
        self._waiting = []
        for entry in self._store.entries(self._height):
            if isinstance(entry, Sent):
                anvil.ask_all([("eth_sendRawTransaction", [entry.raw])])
                self._waiting.append(entry.raw)
            elif entry.number == self._height + 1:
                self._mine(anvil, entry)
            elif entry.number > self._height:
                raise ChainTrouble(f"the journal goes on at block {entry.number}, the chain ends at {self._height}")
        self._waiting = self._still_waiting(anvil)

    def _still_waiting(self, anvil: Anvil) -> list[str]:
        """What anvil holds unmined. What it refused, it holds nowhere."""
        raws = list(dict.fromkeys(self._waiting))
        hashes = ["0x" + keccak256(bytes.fromhex(raw.removeprefix("0x"))).hex() for raw in raws]
        answers = anvil.ask_all([("eth_getTransactionByHash", [one]) for one in hashes])
        return [raw for raw, answer in zip(raws, answers, strict=True)
                if answer.get("result") and not answer["result"].get("blockNumber")]  # fmt: skip


def _with_one_genesis(state: bytes) -> bytes:
    """A chain that was loaded dumps its genesis block twice; it is to load once."""
    kept = json.loads(state)
    blocks = {block["header"]["number"]: block for block in kept["blocks"]}
    kept["blocks"] = list(blocks.values())
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
            while not stop.wait(0.2):
                chain.tick()
    except ChainTrouble as trouble:
        print(f"devchain: {trouble}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

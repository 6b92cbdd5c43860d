"""The embedded chain: what passes its door, what survives a kill, how soon a transaction is final."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.anvil import ChainTrouble
from deploy.children import free_port
from deploy.devchain import DevChain
from deploy.waiting import wait_until
from ledger.approval import space_salt
from ledger.chain import Block, Chain
from ledger.deployment import deploy_contracts
from ledger.errors import ChainRefused, ChainUnavailable, VerificationError
from ledger.keys import EthKey
from tests.integration.chain_space import ChainSpace, job_hash
from tests.simulators.processes import tree

pytestmark = pytest.mark.stack


def call(url: str, method: str, *params: Any) -> dict[str, Any]:
    answer = httpx.post(url, json={"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)})
    return dict(answer.json())


@contextmanager
def running(home: Path, port: int, root: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m deploy.devchain`, as the supervisor starts it."""
    process = subprocess.Popen([sys.executable, "-m", "deploy.devchain", "--home", str(home), "--port", str(port)],
                               cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready http://127.0.0.1:")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def anvil_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def deploy(chain: Chain) -> tuple[dict[str, dict[str, str]], EthKey]:
    operator = EthKey.create()
    return deploy_contracts(chain, EthKey.create(), admin=EthKey.create().address, operator=operator.address,
                            space_salt=space_salt("a space")), operator


def test_a_use_is_final_two_blocks_later(chain_space: ChainSpace) -> None:
    """A block a second: one to two seconds on an idle machine."""
    grant_id, job = chain_space.register(chain_space.terms()), job_hash()
    chain_space.consume(grant_id, job, final=True)
    assert chain_space.chain.used(grant_id, job, "finalized")
    head = chain_space.chain.head()
    assert head.number - chain_space.chain.finalized().number <= 2


@pytest.mark.parametrize("method", [
    "anvil_reset", "anvil_setBalance", "anvil_impersonateAccount", "anvil_dumpState", "anvil_loadState", "anvil_reorg",
    "evm_revert", "evm_increaseTime", "evm_mine", "debug_traceTransaction", "eth_sendTransaction", "eth_accounts",
    "eth_sendUnsignedTransaction", "hardhat_setCode", "personal_sign", "txpool_content", "ots_getApiLevel", ""])
def test_only_reads_and_signed_transactions_pass(devchain: DevChain, method: str) -> None:
    answer = call(devchain.url, method)
    assert "result" not in answer
    assert answer["error"]["code"] == -32601


def test_a_refused_call_hides_in_no_batch_and_no_form(devchain: DevChain) -> None:
    good = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    bad = good | {"method": "anvil_mine"}
    for body in ([good, bad], [[bad]], [], ["anvil_mine"], good | {"method": ["anvil_mine"]},
                 good | {"method": "ANVIL_mine"}, good | {"method": "eth_call", "params": [{}, "latest", {}]}):
        answer = httpx.post(devchain.url, json=body).json()
        assert "error" in answer, body
    twice = '{"jsonrpc":"2.0","id":1,"method":"anvil_nodeInfo","params":[],"method":"eth_chainId"}'
    assert httpx.post(devchain.url, content=twice).json()["result"] == hex(devchain.chain_id)
    assert len(httpx.post(devchain.url, json=[good, good]).json()) == 2
    assert httpx.post(devchain.url, json=good, headers={"Origin": "http://127.0.0.1"}).status_code == 400
    assert httpx.post(devchain.url, content=b"not json").json()["error"]["code"] == -32700


def listening() -> set[int]:
    """The TCP ports of this network on which this test's own processes listen, as the kernel tells it. Only theirs:
    a call to a port of somebody else's would be a dial too many for him."""
    tables = [Path(f"/proc/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    ports = {line[9]: int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"}
    found = set()
    for process in tree(os.getpid()):
        for handle in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                found.add(ports.get(os.readlink(handle).removeprefix("socket:[").removesuffix("]"), 0))
    return found - {0}


def bare(chain_id: int) -> list[int]:
    """The search an attacker would make: ports where this chain's node takes anvil's own methods."""
    found = []
    for port in listening():
        try:
            if call(f"http://127.0.0.1:{port}", "anvil_nodeInfo")["result"]["environment"]["chainId"] == chain_id:
                found.append(port)
        except (httpx.HTTPError, ValueError, TypeError, KeyError):
            continue
    return found


def may_leave_the_network() -> bool:
    """Whether this kernel gives a plain process a network of its own."""
    tried = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not may_leave_the_network(), reason="this kernel gives no network namespace; the alarm says so")
def test_nobody_else_reaches_anvil_itself(tmp_path: Path) -> None:
    """Its port is in a network of its own, its socket in a folder of ours, and without a name."""
    with DevChain(tmp_path) as chain:
        assert chain.apart
        assert bare(chain.chain_id) == []
        assert list((tmp_path / "ipc").iterdir()) == []
        assert (tmp_path / "ipc").stat().st_mode & 0o777 == 0o700
        assert Chain([chain.url]).rpc.health()[0].port_open is False


def test_an_open_port_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel gives no network."""
    monkeypatch.setattr("deploy.anvil._leave_the_network", lambda: None)
    with DevChain(tmp_path) as chain:
        assert not chain.apart
        assert len(bare(chain.chain_id)) == 1, "it is what the search above would have found"
        assert Chain([chain.url]).rpc.health()[0].port_open is True
        assert call(chain.url, "web3_clientVersion")["result"].startswith("anvil")


def test_a_call_that_is_never_answered_is_refused(devchain: DevChain) -> None:
    """anvil is silent to a call without an id; whoever waits for it would hold one of our connections."""
    silent = {"jsonrpc": "2.0", "method": "eth_chainId", "params": []}
    for body in (silent, [silent, silent | {"id": 1}]):
        assert httpx.post(devchain.url, json=body).json()["error"]["code"] == -32601
    odd: list[Any] = [None, -1, 2**70, 1.5, "}{", [1]]
    for id in odd:
        assert httpx.post(devchain.url, json=silent | {"id": id}).status_code == 200
    nested: Any = []
    for _ in range(300):
        nested = [nested]
    assert "error" in httpx.post(devchain.url, json=silent | {"id": 1, "params": [nested]}).json()


def test_no_account_holds_a_known_key(devchain: DevChain) -> None:
    known = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"  # the first account of the public test mnemonic
    assert int(call(devchain.url, "eth_getBalance", known, "latest")["result"], 16) == 0


def answers(chain: Chain) -> bool:
    try:
        return chain.head().number > 0
    except ChainUnavailable:
        return False


def blocks_of(chain: Chain) -> list[Block]:
    return [chain.block(number) for number in range(chain.head().number + 1)]


def test_a_killed_anvil_comes_back_with_every_block(tmp_path: Path, root: Path) -> None:
    port = free_port()
    with running(tmp_path, port, root) as process:
        chain = Chain([f"http://127.0.0.1:{port}"])
        deployed, _ = deploy(chain)  # no snapshot is there yet: the founding transactions are in the journal alone
        assert not list(tmp_path.glob("*.state.json"))
        before = blocks_of(chain)
        killed = anvil_of(process)
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: gone(killed) and answers(chain), seconds=20)
        assert blocks_of(chain)[:len(before)] == before  # numbers, hashes and times
        for name, one in deployed.items():
            assert chain.code_hash(one["address"]) == one["code_hash"]
            chain.check_artifact(name, one["address"])
        before = blocks_of(chain)
        process.kill()  # all of it at once, proxy and anvil
    with running(tmp_path, port, root) as process:
        again = Chain([f"http://127.0.0.1:{port}"], expected_chain_id=chain.chain_id,
                      expected_genesis=before[0].hash)
        assert blocks_of(again)[:len(before)] == before
    assert list(tmp_path.glob("*.state.json"))  # an orderly stop leaves one
    with running(tmp_path, port, root):
        assert Chain([f"http://127.0.0.1:{port}"]).code_hash(deployed["grants"]["address"]) == (
            deployed["grants"]["code_hash"])


def test_nothing_that_was_taken_is_forgotten(tmp_path: Path) -> None:
    """Also not what waits for an earlier nonce, across a snapshot and a kill."""
    with DevChain(tmp_path) as first:
        chain = Chain([first.url])
        deployed, operator = deploy(chain)
        chain.contracts = {name: one["address"] for name, one in deployed.items()}
        logs = ["0x" + f"{number:064x}" for number in range(3)]
        early, late, last = (chain.sign_anchor(operator, nonce, log_id=log, prev_size=0, size=1, root="0x" + "02" * 32,
                                               proof=[]) for nonce, log in enumerate(logs))
        chain.send_raw(late.raw)
        first.snapshot()  # its turn has not come: no block holds it
        chain.send_raw(last.raw)
        os.kill(first.anvil_pid, signal.SIGKILL)
        assert wait_until(lambda: not first.alive, seconds=5)
        first.tick()
        chain.wait(chain.send_raw(early.raw), seconds=10)
        found = chain.wait(late.hash, seconds=10)
        chain.wait(last.hash, seconds=10)
        first.snapshot()
        os.kill(first.anvil_pid, signal.SIGKILL)
        assert wait_until(lambda: not first.alive, seconds=5)
        first.tick()
        assert chain.receipt(late.hash) == found
        assert [chain.anchor_head(log).size for log in logs] == [1, 1, 1]


def test_a_damaged_snapshot_loses_nothing(tmp_path: Path) -> None:
    with DevChain(tmp_path) as first:
        chain = Chain([first.url])
        deployed, _ = deploy(chain)
        genesis = chain.genesis_hash()
        for _ in range(5):
            first.make_block()
            first.snapshot()
        before = blocks_of(chain)
    states = sorted(tmp_path.glob("*.state.json"), reverse=True)
    assert len(states) == 3
    states[0].write_bytes(b"")
    states[1].write_bytes(states[1].read_bytes()[:500])
    with DevChain(tmp_path) as second:
        again = Chain([second.url])
        assert again.genesis_hash() == genesis
        assert blocks_of(again)[:len(before)] == before
        assert again.code_hash(deployed["anchor"]["address"]) == deployed["anchor"]["code_hash"]
    for state in tmp_path.glob("*.state.json"):
        state.write_bytes(b"{")
    with pytest.raises(ChainTrouble), DevChain(tmp_path):  # never a new chain in place of a lost one
        pass


def test_a_torn_line_of_the_journal_was_never_acted_on(tmp_path: Path) -> None:
    with DevChain(tmp_path) as first:
        before = Chain([first.url]).head()
    (journal,) = sorted(tmp_path.glob("*.journal"))[-1:]
    whole = journal.read_bytes()
    for torn in (b"4f", b"00000000 block 99 1\n", b"00000000 block 99 1"):
        journal.write_bytes(whole + torn)
        with DevChain(tmp_path) as second:
            assert Chain([second.url]).block(before.number) == before
        (journal,) = sorted(tmp_path.glob("*.journal"))[-1:]
        whole = journal.read_bytes()


def test_production_does_not_run_on_it(tmp_path: Path, devchain: DevChain, monkeypatch: pytest.MonkeyPatch) -> None:
    for profile in ("embedded", "qbft", "public"):  # also when the trust file calls it something else
        with pytest.raises(VerificationError) as caught:
            Chain([devchain.url], profile_name=profile, production=True).head()
        assert caught.value.code == "chain.development"
    monkeypatch.setenv("XINGLIN_ENV", "production")
    with pytest.raises(ChainTrouble):
        DevChain(tmp_path)


def test_one_chain_a_folder(tmp_path: Path) -> None:
    with DevChain(tmp_path), pytest.raises(ChainTrouble):
        DevChain(tmp_path)
    with pytest.raises(ChainTrouble):
        DevChain(tmp_path, chain_id=5)


def test_anvil_ends_with_its_parent(tmp_path: Path, root: Path) -> None:
    with running(tmp_path, free_port(), root) as process:
        anvil = anvil_of(process)
        process.kill()
        assert wait_until(lambda: gone(anvil), seconds=5)


def test_sending_again_is_safe_and_another_transaction_is_noticed(chain_space: ChainSpace) -> None:
    chain, sender, payer = chain_space.chain, EthKey.create(), chain_space.stranger
    grant_id = chain_space.register(chain_space.terms())

    def use(nonce: int) -> str:
        from ledger.approval import sign_use

        job = job_hash()
        return chain.sign_consume(sender, nonce, grant_id=grant_id, job_hash=job, signature=sign_use(
            grant_id, job, chain_space.service, chain_space.grants)).raw

    assert payer.address != sender.address  # a fresh account without funds sends: nothing costs anything here
    late = use(1)
    assert chain.send_raw(late) == chain.send_raw(late)  # waits for nonce 0, known already
    first = use(0)
    assert chain.send_raw(first) == chain.send_raw(first)
    chain.wait(chain.send_raw(late), seconds=10)
    with pytest.raises(ChainRefused) as caught:
        chain.send_raw(use(0))
    assert caught.value.code == "chain.nonce_taken"


def test_a_refusal_is_known_before_it_is_sent(chain_space: ChainSpace) -> None:
    tx = chain_space.chain.sign_consume(chain_space.stranger, 0, grant_id="0x" + "99" * 32, job_hash=job_hash(),
                                        signature="0x" + "00" * 65)
    with pytest.raises(ChainRefused) as caught:
        chain_space.chain.preflight(tx)
    assert caught.value.code == "chain.refused.not_registered"


def test_a_strangers_contract_is_noticed(chain_space: ChainSpace) -> None:
    chain = chain_space.chain
    for name, other in (("grants", "anchor"), ("participants", "grants")):
        with pytest.raises(VerificationError) as caught:
            chain.check_artifact(name, chain_space.deployed[other]["address"])
        assert caught.value.code == "chain.wrong"
    empty = Chain(chain.rpc.urls, contracts={"grants": "0x" + "00" * 19 + "42"})
    with pytest.raises(VerificationError):
        empty.grant("0x" + "99" * 32)

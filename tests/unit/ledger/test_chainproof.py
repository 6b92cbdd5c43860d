"""Headers and state proofs: what a real node said, what an independent builder makes, and nothing a bit off it."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
import rlp  # the oracle

from fixtures import state_trie
from ledger import chainproof
from ledger.chainproof import (
    ROOT_AT_SLOT,
    block_hash,
    check_seals,
    decode,
    encode,
    header_of,
    prove_account,
    prove_slot,
    read_header,
    root_slot,
    sealers,
    unsealed,
)
from ledger.ecdsa import keccak256
from ledger.errors import VerificationError
from ledger.keys import EthKey

ROOT = Path(__file__).resolve().parents[3]
RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded_proof.json").read_text())
LAYOUT = """
const fs = require('fs'), path = require('path'), solc = require('solc');
const places = ['ledger/contracts', 'node_modules'];
const place = (name) => places.map((one) => path.join(one, name)).find(fs.existsSync);
const find = (name) => ({ contents: fs.readFileSync(place(name), 'utf8') });
const settings = { evmVersion: 'london', outputSelection: { 'Anchor.sol': { Anchor: ['storageLayout'] } } };
const sources = { 'Anchor.sol': { content: find('Anchor.sol').contents } };
const made = solc.compile(JSON.stringify({ language: 'Solidity', sources, settings }), { import: find });
const { storage } = JSON.parse(made).contracts['Anchor.sol'].Anchor.storageLayout;
console.log(storage.find((one) => one.label === 'rootAt').slot);
"""


def unhex(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(one[2:]) for one in values]


def test_it_works() -> None:
    """A block and an eth_getProof as anvil 1.7.1 gave them."""
    header = header_of(RECORDED["block"])
    assert block_hash(header) == RECORDED["block"]["hash"]
    account = prove_account(header.state_root, RECORDED["address"], unhex(RECORDED["proof"]["accountProof"]))
    assert "0x" + account.code_hash.hex() == RECORDED["code_hash"]
    found = prove_slot(account.storage_root, bytes.fromhex(RECORDED["slot"]),
                       unhex(RECORDED["proof"]["storageProof"][0]["proof"]))
    assert found.hex() == RECORDED["value"]
    assert read_header(header.raw) == header


def test_the_slot_is_where_the_compiler_puts_it() -> None:
    said = subprocess.run(["node", "-e", LAYOUT], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert int(said.stdout) == ROOT_AT_SLOT


def test_rlp_is_what_the_library_makes_of_it() -> None:
    dice = random.Random(20261122)

    def item(depth: int) -> Any:
        if depth and dice.random() < 0.5:
            return [item(depth - 1) for _ in range(dice.randrange(5))]
        return dice.randbytes(dice.choice((0, 1, 1, 2, 31, 55, 56, 57, 255, 256, 300)))
    for _ in range(400):
        value = item(4)
        spelled = encode(value)
        assert spelled == rlp.encode(value)
        assert decode(spelled) == value


def test_rlp_has_one_spelling() -> None:
    for wrong in (b"", b"\x81\x00", b"\x81\x7f", b"\xb8\x01\x80", b"\xb9\x00\x38" + bytes(56), b"\xb8\x37" + bytes(55),
                  b"\x83ab", b"\xc3\x80", b"\xf8\x01\x80", b"\x80\x80", b"\xc1", b"\xb8", b"\xc0" * 2,
                  b"\xc2\x83a", b"\xc1" * 12 + b"\xc0"):
        with pytest.raises(VerificationError, match=r"proof\.malformed"):
            decode(wrong)


def test_damaged_rlp_never_ends_otherwise_than_refused_or_as_itself() -> None:
    dice, good = random.Random(7), header_of(RECORDED["block"]).raw
    for _ in range(600):
        changed = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        del changed[dice.choice((len(changed), dice.randrange(len(changed)))):]
        try:
            assert encode(decode(bytes(changed))) == changed
        except VerificationError:
            continue


@pytest.mark.parametrize("count", [15, 16, 17, 20, 21])
def test_headers_of_every_fork_are_read(count: int) -> None:
    raw = state_trie.header(bytes(32), 7, 1_795_332_000, fields=count)
    header = read_header(raw)
    assert (header.number, header.time, header.raw) == (7, 1_795_332_000, raw)
    values = {name: "0x" + value.hex() if size != chainproof.INTEGER else hex(int.from_bytes(value))
              for value, (name, size) in zip(header.fields, chainproof.HEADER, strict=False)}
    assert header_of({**values, "hash": block_hash(header)}) == header
    with pytest.raises(VerificationError, match=r"proof\.header"):
        header_of({**values, "gasUsed": "0x1", "hash": block_hash(header)})


def test_headers_of_no_fork_are_refused() -> None:
    good = list(read_header(state_trie.header(bytes(32), 7, 9)).fields)
    for wrong in (good[:14], good[:10], [*good, bytes(32), b""], [b"x", *good[1:]], [*good[:8], b"\0\x07", *good[9:]],
                  [*good[:12], [], *good[13:]], [*good, b""]):
        with pytest.raises(VerificationError, match=r"proof\.malformed"):
            read_header(encode(wrong))
    with pytest.raises(VerificationError, match="lacks"):
        header_of({**RECORDED["block"], "nonce": None})


def test_proofs_of_an_independent_builder_hold() -> None:
    for accounts in (1, 2, 3, 40):
        world = {secrets.token_bytes(20): secrets.token_bytes(32) for _ in range(accounts)}
        storage = {address: {secrets.token_bytes(32): secrets.token_bytes(32) for _ in range(accounts)}
                   for address in world}
        state = {address: state_trie.account(storage[address], code, nonce=accounts, balance=10**20)
                 for address, code in world.items()}
        for address, code in list(world.items())[:3]:
            found = prove_account(state_trie.trie_root(state), "0x" + address.hex(),
                                  state_trie.trie_proof(state, address))
            assert (found.code_hash, found.nonce, found.balance) == (code, accounts, 10**20)
            rows = state_trie.slots(storage[address])
            for slot, value in list(storage[address].items())[:3]:
                assert prove_slot(found.storage_root, slot, state_trie.trie_proof(rows, slot)) == value


def test_small_nodes_inside_their_parents_are_read() -> None:
    """Short values far down make nodes of fewer than 32 bytes, which stand in their parent as they are."""
    rows = {number.to_bytes(32): encode(bytes([number % 100 + 1])) for number in range(3000)}
    root = state_trie.trie_root(rows)
    for number in range(0, 3000, 271):
        slot = number.to_bytes(32)
        assert prove_slot(root, slot, state_trie.trie_proof(rows, slot)) == (number % 100 + 1).to_bytes(32)


def test_a_proof_is_of_its_key_and_its_root_only() -> None:
    rows = state_trie.slots({secrets.token_bytes(32): secrets.token_bytes(32) for _ in range(50)})
    first, second = list(rows)[:2]
    root, proof = state_trie.trie_root(rows), state_trie.trie_proof(rows, first)
    absent = secrets.token_bytes(32)
    for slot, given, top in ((second, proof, root), (absent, proof, root), (first, proof[:-1], root),
                             (first, [*proof, proof[-1]], root), (first, proof[1:], root), (first, [], root),
                             (first, proof[::-1], root), (first, proof, secrets.token_bytes(32)),
                             (absent, state_trie.trie_proof({**rows, absent: b"\x01"}, absent), root)):
        with pytest.raises(VerificationError):
            prove_slot(top, slot, given)


def test_every_bit_of_a_proof_counts() -> None:
    header = header_of(RECORDED["block"])
    proof = unhex(RECORDED["proof"]["accountProof"])
    for number, node in enumerate(proof):
        for bit in range(0, len(node) * 8, 7):
            changed = bytearray(node)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(VerificationError):
                prove_account(header.state_root, RECORDED["address"],
                              [*proof[:number], bytes(changed), *proof[number + 1:]])


def test_the_slot_tells_log_and_size_apart() -> None:
    found = {root_slot("0x" + bytes([log]).hex() * 32, size) for log in range(3) for size in range(3)}
    assert len(found) == 9


def sealed(keys: list[EthKey], *, round: int = 3, vote: list[Any] | None = None) -> bytes:
    """A QBFT header, with seals by the rule of Besu's QbftExtraDataCodec as its source has it (not run here)."""
    addresses = [bytes.fromhex(one.address[2:]) for one in keys]
    extra: list[Any] = [bytes(32), addresses, vote or [], bytes([round]) if round else b"", []]
    bare = read_header(state_trie.header(bytes(32), 7, 9, extra=encode(extra)))
    value = keccak256(bare.raw)
    seals = []
    for key in keys:
        signature = key.sign_digest(value)
        seals.append(signature[:64] + bytes([signature[64] - 27]))
    return bare.with_extra(encode([*extra[:4], seals]))


def test_qbft_blocks_are_named_without_their_seals() -> None:
    keys = [EthKey.create() for _ in range(4)]
    header = read_header(sealed(keys))
    assert sealers(header) == [one.address for one in keys]
    bare = unsealed(header)
    assert block_hash(header, "qbft") == block_hash(bare, "qbft") == block_hash(bare) != block_hash(header)
    assert block_hash(header, "qbft") == block_hash(read_header(sealed(keys, round=0)), "qbft")


def test_two_thirds_of_pinned_validators_must_have_sealed() -> None:
    keys = [EthKey.create() for _ in range(4)]
    named = [one.address for one in keys]
    check_seals(read_header(sealed(keys)), named)
    check_seals(read_header(sealed(keys[:3])), named)
    for signed_by in (keys[:2], [], [*keys[:3], EthKey.create()], [*keys[:3], keys[0]]):
        with pytest.raises(VerificationError, match=r"proof\.seals"):
            check_seals(read_header(sealed(signed_by)), named)
    with pytest.raises(VerificationError, match=r"proof\.seals"):
        check_seals(read_header(sealed([])), [])


def test_extra_data_that_are_not_qbfts_are_refused() -> None:
    for extra in (b"", bytes(97), encode([bytes(32), [], [], b"", [], b""]), encode([bytes(31), [], [], b"", []]),
                  encode([bytes(32), b"", [], b"", []]), encode([bytes(32), [], [], b"\0\x01", []])):
        header = read_header(state_trie.header(bytes(32), 7, 9, extra=extra))
        with pytest.raises(VerificationError, match=r"proof\.malformed"):
            block_hash(header, "qbft")

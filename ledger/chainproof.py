"""What an Ethereum block header and Merkle-Patricia proofs say: RLP, the header's hash, an account, one storage slot.

Strict: canonical RLP with nothing behind it, fields of their exact lengths, proofs of exactly the nodes on the way.
Only presence is proved, never absence. Pure: standard library and a keccak; whether the header is of the chain that is
meant, somebody else has to say (witnesses, an endpoint, a validator set).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ledger.ecdsa import address_of, keccak256, recover_key
from ledger.errors import VerificationError

Item = bytes | list[Any]
MAX_DEPTH = 8
INTEGER = -1
EXTRA = -2
HEADER = (
    ("parentHash", 32), ("sha3Uncles", 32), ("miner", 20), ("stateRoot", 32), ("transactionsRoot", 32),
    ("receiptsRoot", 32), ("logsBloom", 256), ("difficulty", INTEGER), ("number", INTEGER), ("gasLimit", INTEGER),
    ("gasUsed", INTEGER), ("timestamp", INTEGER), ("extraData", EXTRA), ("mixHash", 32), ("nonce", 8),
    ("baseFeePerGas", INTEGER), ("withdrawalsRoot", 32), ("blobGasUsed", INTEGER), ("excessBlobGas", INTEGER),
    ("parentBeaconBlockRoot", 32), ("requestsHash", 32))
"""The fields in their order, by the names JSON-RPC gives them, with their lengths."""
FORKS = (15, 16, 17, 20, 21)
"""How many of them there are: before London, London to Paris, Shanghai, Cancun, Prague and Osaka."""
UNCLES, STATE_ROOT, BLOOM, NUMBER, TIME, EXTRA_DATA = 1, 3, 6, 8, 11, 12
NO_UNCLES = keccak256(b"\xc0")
QBFT = "qbft"
ROOT_AT_SLOT = 6
"""Where `Anchor.rootAt` lies in the contract's storage; a test compares it with the compiler's own layout."""


def malformed(message: str) -> VerificationError:
    return VerificationError("proof.malformed", message)


# --- RLP


def encode(item: Item) -> bytes:
    """The one RLP spelling of bytes, or of a list of such."""
    if isinstance(item, list):
        body = b"".join(encode(one) for one in item)
        return _head(0xC0, len(body)) + body
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _head(0x80, len(item)) + item


def _head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(size)]) + size


def number_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def decode(data: bytes) -> Item:
    """What the bytes spell, if they are the one spelling of it and nothing more."""
    item, end = _decode(data, 0, 0)
    if end != len(data):
        raise malformed("there are bytes behind the RLP")
    return item


def _decode(data: bytes, start: int, depth: int) -> tuple[Item, int]:
    if start >= len(data) or depth > MAX_DEPTH:
        raise malformed("RLP ends too early, or is nested too deep")
    first = data[start]
    if first < 0x80:
        return data[start:start + 1], start + 1
    begin, end = _extent(data, start, first)
    if first < 0xC0:
        if end - begin == 1 and data[begin] < 0x80:
            raise malformed("RLP not in its one spelling")
        return data[begin:end], end
    items: list[Any] = []
    while begin < end:
        item, begin = _decode(data[:end], begin, depth + 1)
        items.append(item)
    return items, end


def _extent(data: bytes, start: int, first: int) -> tuple[int, int]:
    """Where the payload of a string or list begins and ends."""
    short = first - (0x80 if first < 0xC0 else 0xC0)
    begin, length = start + 1, short
    if short > 55:
        size = data[begin:begin + short - 55]
        begin, length = begin + short - 55, int.from_bytes(size)
        if not size or size[0] == 0 or length < 56:
            raise malformed("RLP not in its one spelling")
    if begin + length > len(data):
        raise malformed("RLP ends too early")
    return begin, begin + length


def _fields(data: bytes, count: int) -> list[bytes]:
    """A list of exactly so many strings."""
    item = decode(data)
    if not isinstance(item, list) or len(item) != count or not all(isinstance(one, bytes) for one in item):
        raise malformed(f"not a list of {count} fields")
    return item


# --- headers


@dataclass(frozen=True)
class Header:
    """A block header, parsed. **That it is of any chain is not checked.**"""

    fields: tuple[bytes, ...]

    @property
    def state_root(self) -> bytes:
        return self.fields[STATE_ROOT]

    @property
    def number(self) -> int:
        return int.from_bytes(self.fields[NUMBER])

    @property
    def time(self) -> int:
        return int.from_bytes(self.fields[TIME])

    def with_extra(self, extra: bytes) -> bytes:
        """The header's RLP with other extra data."""
        return encode([*self.fields[:EXTRA_DATA], extra, *self.fields[EXTRA_DATA + 1:]])

    @property
    def raw(self) -> bytes:
        return encode(list(self.fields))


def read_header(raw: bytes) -> Header:
    item = decode(raw)
    if not isinstance(item, list) or len(item) not in FORKS:
        raise malformed("a block header has 15, 16, 17, 20 or 21 fields")
    for value, (name, size) in zip(item, HEADER, strict=False):
        if not isinstance(value, bytes) or (size >= 0 and len(value) != size):
            raise malformed(f"the header's {name} has another length")
        if size == INTEGER and (value[:1] == b"\0" or len(value) > 32):
            raise malformed(f"the header's {name} is no number")
    return Header(tuple(item))


def header_of(block: Mapping[str, Any], *, profile: str = "") -> Header:
    """The header of a block as JSON-RPC shows it, if it has the hash the block says."""
    named = [field for field in HEADER if block.get(field[0]) is not None]
    if tuple(named) != HEADER[:len(named)]:
        raise malformed("the block lacks a field of its header")
    values = []
    for name, size in named:
        value = str(block[name]).removeprefix("0x")
        try:
            values.append(number_bytes(int(value, 16)) if size == INTEGER else bytes.fromhex(value))
        except ValueError as trouble:
            raise malformed(f"the header's {name} is not hexadecimal") from trouble
    header = read_header(encode(list(values)))
    if block_hash(header, profile) != str(block.get("hash")).lower():
        raise VerificationError("proof.header", "the header's fields do not give the hash that the endpoint says")
    return header


def block_hash(header: Header, profile: str = "") -> str:
    """The block's hash, 0x. QBFT blocks are named without their seals and round, which differ from node to node."""
    if profile == QBFT:
        return "0x" + keccak256(_sealed_bytes(header, seals=False, round=False)).hex()
    return "0x" + keccak256(header.raw).hex()


def unsealed(header: Header) -> Header:
    """A QBFT header as its hash sees it: no seals, round 0."""
    return read_header(_sealed_bytes(header, seals=False, round=False))


def _qbft_extra(header: Header) -> list[Any]:
    """Vanity, validators, vote, round, seals."""
    extra = decode(header.fields[EXTRA_DATA])
    if not isinstance(extra, list) or len(extra) != 5 or [isinstance(one, list) for one in extra] != [
            False, True, True, False, True]:
        raise malformed("the extra data are not those of a QBFT block")
    if len(extra[0]) != 32 or len(extra[3]) > 4 or extra[3][:1] == b"\0":
        raise malformed("the extra data are not those of a QBFT block")
    return extra


def _sealed_bytes(header: Header, *, seals: bool, round: bool) -> bytes:
    extra = _qbft_extra(header)
    return header.with_extra(encode([*extra[:3], extra[3] if round else b"", extra[4] if seals else []]))


def sealers(header: Header) -> list[str]:
    """The addresses that sealed a QBFT block, in the header's order."""
    value = keccak256(_sealed_bytes(header, seals=False, round=True))
    found = []
    for seal in _qbft_extra(header)[4]:
        if not isinstance(seal, bytes) or len(seal) != 65 or seal[64] > 1:
            raise malformed("a seal has 65 bytes, the last of them 0 or 1")
        found.append(address_of(recover_key(value, seal[:64] + bytes([27 + seal[64]]))))
    return found


def check_seals(header: Header, validators: Sequence[str]) -> None:
    """That two thirds of these validators have sealed the block, and nobody else has."""
    found = sealers(header)
    if len(set(found)) != len(found) or not set(found) <= set(validators):
        raise VerificationError("proof.seals", "a seal is double, or not of a validator that the trust file names")
    if 3 * len(found) < 2 * len(validators) or not validators:
        raise VerificationError("proof.seals", f"{len(found)} of {len(validators)} validators have sealed the block")


# --- the state


@dataclass(frozen=True)
class Account:
    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


def prove_account(state_root: bytes, address: str, proof: Sequence[bytes]) -> Account:
    """The account at this address (0x), as the state says."""
    value = _walk(state_root, keccak256(bytes.fromhex(address[2:])), proof)
    nonce, balance, storage_root, code_hash = _fields(value, 4)
    if len(storage_root) != 32 or len(code_hash) != 32:
        raise malformed("the account is not of its form")
    return Account(_number(nonce), _number(balance), storage_root, code_hash)


def prove_slot(storage_root: bytes, slot: bytes, proof: Sequence[bytes]) -> bytes:
    """The 32 bytes in this storage slot, which are not all zero: those are not stored."""
    value = decode(_walk(storage_root, keccak256(slot), proof))
    if not isinstance(value, bytes) or not 0 < len(value) <= 32 or value[0] == 0:
        raise malformed("the slot's value is not of its form")
    return value.rjust(32, b"\0")


def root_slot(log_id: str, size: int) -> bytes:
    """Where `Anchor.rootAt[log][size]` lies."""
    outer = keccak256(bytes.fromhex(log_id[2:]) + ROOT_AT_SLOT.to_bytes(32))
    return keccak256(size.to_bytes(32) + outer)


def _number(value: bytes) -> int:
    if value[:1] == b"\0" or len(value) > 32:
        raise malformed("a number is not in its one spelling")
    return int.from_bytes(value)


def _walk(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes:
    """The value under a key of a Merkle-Patricia trie."""
    return _way(root, key, proof)[1]


def _way(root: bytes, key: bytes, proof: Sequence[bytes]) -> tuple[list[tuple[list[Any], int]], bytes]:
    """Each node above the leaf with the place where it leads on, and the value; no node of the proof is off the way."""
    rest, wanted, nodes = _halves(key), cast(Item, root), iter(proof)
    way: list[tuple[list[Any], int]] = []
    while True:
        node = _node(wanted, nodes)
        if len(node) == 17:
            if not rest:
                raise malformed("the key ends in a branch")
            way.append((node, rest[0]))
            wanted, rest = node[rest[0]], rest[1:]
            continue
        path, is_leaf = _path(node[0])
        if is_leaf:
            if path != rest or not isinstance(node[1], bytes) or not node[1]:
                raise VerificationError("proof.trie", "the proof is of another key")
            if next(nodes, None) is not None:
                raise malformed("the proof has nodes that are not on the way")
            return way, node[1]
        if not path or rest[:len(path)] != path:
            raise VerificationError("proof.trie", "the proof is of another key")
        way.append((node, 1))
        wanted, rest = node[1], rest[len(path):]


def _node(wanted: Item, nodes: Any) -> list[Any]:
    """The next node: the one inside its parent, or the next of the proof if it has the hash its parent says."""
    if isinstance(wanted, list):
        if len(encode(wanted)) >= 32:
            raise malformed("a node of 32 bytes and more stands inside another")
        node: Item = wanted
    else:
        raw = next(nodes, None)
        if not wanted or raw is None:
            raise VerificationError("proof.trie", "the proof ends before the key does")
        if keccak256(raw) != wanted:
            raise VerificationError("proof.trie", "a node of the proof is not the one its parent names")
        node = decode(raw)
    if not isinstance(node, list) or len(node) not in (2, 17):
        raise malformed("a node has 2 or 17 items")
    return node


def _halves(data: bytes) -> list[int]:
    return [half for byte in data for half in (byte >> 4, byte & 15)]


def _path(packed: object) -> tuple[list[int], bool]:
    """A node's piece of the key, and whether it is the last."""
    if not isinstance(packed, bytes) or not packed or packed[0] >> 4 > 3:
        raise malformed("a node's path is not of its form")
    flag, halves = packed[0] >> 4, _halves(packed[1:])
    if flag & 1:
        return [packed[0] & 15, *halves], flag > 1
    if packed[0] & 15:
        raise malformed("a node's path is not of its form")
    return halves, flag > 1


# --- written short: what follows from the rest is left out


def shorten(key: bytes, proof: Sequence[bytes]) -> tuple[list[Item], bytes]:
    """A proof's nodes without its leaf, each with an empty place where it leads on; and the leaf's value."""
    way, value = _way(keccak256(proof[0]) if proof else b"", keccak256(key), proof)
    return [[*node[:at], b"", *node[at + 1:]] for node, at in way], value


def lengthen(key: bytes, short: Item, value: bytes) -> list[bytes]:
    """The proof again, built up from the value at its foot. What it proves, and of which state, is not checked."""
    rest, places = _halves(keccak256(key)), list[tuple[list[Any], int]]()
    for node in short if isinstance(short, list) else [short]:
        if not isinstance(node, list) or len(node) not in (2, 17) or not rest:
            raise malformed("a node has 2 or 17 items")
        path = rest[:1]
        if len(node) == 2:
            path, is_leaf = _path(node[0])
            if is_leaf or not path or rest[:len(path)] != path:
                raise malformed("a node is not on the way")
        at = 1 if len(node) == 2 else path[0]
        if node[at] != b"":
            raise malformed("a node says what follows from the one below it")
        places.append((node, at))
        rest = rest[len(path):]
    odd = len(rest) % 2
    packed = [2 + odd, *([] if odd else [0]), *rest]
    below: list[Any] = [bytes(a << 4 | b for a, b in zip(packed[::2], packed[1::2], strict=True)), value]
    found = list[bytes]()
    for node, at in reversed(places):
        spelled = encode(below)
        if len(spelled) >= 32:
            found.append(spelled)
        below = [*node[:at], keccak256(spelled) if len(spelled) >= 32 else below, *node[at + 1:]]
    return [encode(below), *reversed(found)]


def short_header(raw: bytes) -> bytes:
    """A header without the hash of no uncles, and with the numbers of its bloom's bits, two bytes each, in place of the
    bloom where that is shorter."""
    fields = list(read_header(raw).fields)
    bits = [8 * at + bit for at, byte in enumerate(fields[BLOOM]) if byte for bit in range(8) if byte << bit & 128]
    if 2 * len(bits) < 256:
        fields[BLOOM] = b"".join(bit.to_bytes(2) for bit in bits)
    if fields[UNCLES] == NO_UNCLES:
        fields[UNCLES] = b""
    return encode(list(fields))


def long_header(short: bytes) -> bytes:
    fields = decode(short)
    bits = fields[BLOOM] if isinstance(fields, list) and len(fields) > BLOOM else None
    if not isinstance(fields, list) or not isinstance(bits, bytes) or len(bits) % 2 or len(bits) > 256:
        raise malformed("not a header with its bloom's bits")
    if len(bits) < 256:
        bloom = bytearray(256)
        for at in range(0, len(bits), 2):
            bit = int.from_bytes(bits[at:at + 2])
            if bit >= 2048:
                raise malformed("a bloom has 2048 bits")
            bloom[bit // 8] |= 128 >> bit % 8
        fields[BLOOM] = bytes(bloom)
    fields[UNCLES] = fields[UNCLES] or NO_UNCLES
    return encode(fields)

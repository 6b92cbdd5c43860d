"""The sharing of `mpc.sharing` a number at a time in Python's integers: the oracle of its tests, not for data."""

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

RING, WORD = 1 << 256, 1 << 64


def keystream(key: bytes, label: str, count: int, limbs: int) -> list[int]:
    info = f"xinglin/keystream/v1|{label}|{8 * limbs}".encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)
    numbers = [0] * count
    for limb in range(limbs):
        counter = modes.CTR((limb << 96).to_bytes(16, "big"))
        stream = Cipher(algorithms.AES(derived), counter).encryptor().update(bytes(8 * count))
        for at in range(count):
            numbers[at] += int.from_bytes(stream[8 * at : 8 * at + 8], "little") << (64 * limb)
    return numbers


def zeros(seat: int, keys: Mapping[int, bytes], label: str, count: int, limbs: int) -> list[int]:
    total = [0] * count
    for other, key in keys.items():
        for at, number in enumerate(keystream(key, label, count, limbs)):
            total[at] += number if other > seat else -number
    return total


def share_total(values: Sequence[int], seat: int, keys: Mapping[int, bytes], label: str = "total") -> list[int]:
    hidden = zeros(seat, keys, label, len(values), 4)
    return [(value + zero) % RING for value, zero in zip(values, hidden, strict=True)]


def share_own(values: Sequence[int], seat: int, keys: Mapping[int, bytes], parties: int,
              label: str = "own") -> list[list[int]]:
    hidden = zeros(seat, keys, label, parties * len(values), 1)
    rows = [hidden[at * len(values) : (at + 1) * len(values)] for at in range(parties)]
    rows[seat] = [value + zero for value, zero in zip(values, rows[seat], strict=True)]
    return [[value % WORD for value in row] for row in rows]


def combine(vectors: Sequence[Sequence[int]]) -> list[int]:
    sums = [sum(column) % RING for column in zip(*vectors, strict=True)]
    return [value - RING if value >= RING // 2 else value for value in sums]

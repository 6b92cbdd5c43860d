"""A signature that its own key's owner can make so that two honest verifiers disagree: R has a part of small order.

RFC 8032 lets a verifier multiply by eight first, and then it holds; or not, and then it does not (OpenSSL, so ours).
For tests only: plain arithmetic, slow, and leaks by its time.
"""

from __future__ import annotations

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
BASE: Point = (15112221349535400772501151409588531511454012693041857206046113283949847762202, 4 * pow(5, -1, P) % P)
OF_ORDER_TWO: Point = (0, P - 1)


def add(one: Point, other: Point) -> Point:
    (a, b), (c, d) = one, other
    both = D * a * b * c * d % P
    return (a * d + b * c) * pow(1 + both, -1, P) % P, (b * d + a * c) * pow(1 - both, -1, P) % P


def times(scalar: int, point: Point) -> Point:
    found: Point = (0, 1)
    while scalar:
        if scalar & 1:
            found = add(found, point)
        point, scalar = add(point, point), scalar >> 1
    return found


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def crooked(seed: bytes, message: bytes) -> bytes:
    """Signed by the key of this seed, with R moved by the point of order two."""
    digest = sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    once = int.from_bytes(sha512(digest[32:] + message).digest(), "little") % ORDER
    r = encoded(add(times(once, BASE), OF_ORDER_TWO))
    k = int.from_bytes(sha512(r + encoded(times(secret, BASE)) + message).digest(), "little")
    return r + ((once + k * secret) % ORDER).to_bytes(32, "little")

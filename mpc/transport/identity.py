"""Who is at the other end of a link: one fresh self-signed certificate a party and attempt, pinned by all others.

The certificate travels in the party's signed verdict; it is the only anchor its peers accept, there is no CA. TLS 1.3
only, both sides show a certificate, no resumption. The ALPN names session and pair, so a peer in another session fails
inside the authenticated handshake. Private keys never touch a disk (memfd).
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = timedelta(minutes=5)
LIFETIME = timedelta(hours=73)
BACKLOG = 32


@dataclass(frozen=True)
class SessionIdentity:
    """What one party brings to one attempt; `certificate` and `exchange` are public, the rest never leaves memory."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    exchange_private: bytes = field(repr=False)

    @classmethod
    def fresh(cls, *, now: datetime, lifetime: timedelta = LIFETIME) -> SessionIdentity:
        key = Ed25519PrivateKey.generate()
        # a name of its own: among several anchors OpenSSL looks the issuer up by name, and stops at the first
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"xinglin session {secrets.token_hex(16)}")])
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW).not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                           critical=False)
            .sign(key, None)
        )
        return cls(
            certificate.public_bytes(Encoding.DER),
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            X25519PrivateKey.generate().private_bytes_raw(),
        )

    @property
    def exchange(self) -> bytes:
        """The public half of the exchange key."""
        return X25519PrivateKey.from_private_bytes(self.exchange_private).public_key().public_bytes_raw()


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket, inheritable, to be handed to a worker; a free port unless one is named."""
    server = socket.create_server((host, port), backlog=BACKLOG)
    server.set_inheritable(True)
    return server


def address_of(server: socket.socket) -> str:
    host, port = server.getsockname()[:2]
    return f"{host}:{port}"


def binding(session: str, one: int, other: int) -> str:
    """What both ends of a link must name in the handshake."""
    low, high = sorted((one, other))
    return sha256(f"xinglin/link/v1|{session}|{low}|{high}".encode()).hexdigest()


def _load_own(context: ssl.SSLContext, identity: SessionIdentity) -> None:
    key = load_der_private_key(identity.private_key, password=None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem += ssl.DER_cert_to_PEM_cert(identity.certificate).encode()
    handle = os.memfd_create("xinglin", os.MFD_CLOEXEC)
    try:
        os.write(handle, pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _context(side: int, identity: SessionIdentity, anchors: Iterable[bytes], names: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _load_own(context, identity)
    for certificate in anchors:
        context.load_verify_locations(cadata=certificate)
    context.set_alpn_protocols(list(names))
    return context


def server_context(identity: SessionIdentity, anchors: Iterable[bytes], names: Sequence[str]) -> ssl.SSLContext:
    """For whoever may dial us; which of them it was, the caller reads from the certificate, byte for byte."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity, anchors, names)
    context.num_tickets = 0
    return context


def client_context(identity: SessionIdentity, anchor: bytes, name: str) -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, [anchor], [name])

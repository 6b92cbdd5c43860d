"""Who is at the other end of a link: one fresh key and certificate a party and attempt, pinned by all others.

The certificate is a leaf that the node's signing key signs for one job, attempt and seat; it travels in the party's
signed verdict and is the only anchor that its peers accept: there is no CA. The signing key stays with the agent, the
worker gets the leaf and its key. TLS 1.3 only, both sides show a certificate, no resumption. The ALPN names session and
pair, so a peer in another session fails inside the authenticated handshake. Private keys never touch a disk (memfd).
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from mpc.errors import SessionMismatch

SKEW = timedelta(minutes=5)
LIFETIME = timedelta(hours=73)


@dataclass(frozen=True)
class Place:
    """What a leaf is good for: one seat in one attempt of one job."""

    job_hash: str
    attempt: int
    seat: int

    @property
    def uri(self) -> str:
        """The only name in the leaf."""
        return f"urn:xinglin:seat:{self.job_hash}:{self.attempt}:{self.seat}"


@dataclass(frozen=True)
class SessionIdentity:
    """What one party brings to one attempt; `certificate` and `exchange` are public, the rest never leaves memory."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    exchange_private: bytes = field(repr=False)

    @classmethod
    def fresh(cls, signing: Ed25519PrivateKey, place: Place, *, now: datetime,
              lifetime: timedelta = LIFETIME) -> SessionIdentity:
        """Keys that nobody has seen before, and the signing key's word that they are this seat's."""
        key = Ed25519PrivateKey.generate()
        certificate = (
            x509.CertificateBuilder().subject_name(_name("leaf")).issuer_name(_name("node"))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW).not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                           critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(place.uri)]), critical=True)
            .sign(signing, None)
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


def _name(role: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"xinglin {role}")])


def check_leaf(der: bytes, signing: str, place: Place) -> None:
    """The leaf is signed by this signing key (hex) for this place, and for nothing else; raises `SessionMismatch`."""
    try:
        leaf = x509.load_der_x509_certificate(der)
        if leaf.signature_algorithm_oid != SignatureAlgorithmOID.ED25519:
            raise ValueError("another algorithm")
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signing)).verify(leaf.signature, leaf.tbs_certificate_bytes)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion,
            x509.UnsupportedGeneralNameType, x509.ExtensionNotFound, x509.DuplicateExtension) as trouble:
        raise SessionMismatch("a leaf is not signed by its node's key", about_seat=place.seat) from trouble
    if list(names) != [x509.UniformResourceIdentifier(place.uri)] or constraints.ca:
        raise SessionMismatch("a leaf is for another job, attempt or seat", about_seat=place.seat)


def binding(session: str, one: int, other: int) -> str:
    """What both ends of a link must name in the handshake."""
    low, high = sorted((one, other))
    return sha256(f"xinglin/link/v2|{session}|{low}|{high}".encode()).hexdigest()


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


def context_for(identity: SessionIdentity, anchor: bytes, name: str, *, server: bool) -> ssl.SSLContext:
    """For one peer, whose exact certificate `anchor` is; both sides must show theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # no names here: the certificate is known byte for byte
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the leaf itself is the anchor, its issuer is not looked for
    if server:
        context.num_tickets = 0
    _load_own(context, identity)
    context.load_verify_locations(cadata=anchor)
    context.set_alpn_protocols([name])
    return context

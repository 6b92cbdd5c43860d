"""A server with a real certificate, of an authority that nobody knows unless a test says so; all get one status."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject: str, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, *, authority: bool,
                begins: int = -2, ends: int = 2) -> x509.Certificate:
    """Signed by this authority, good from and to so many days from now."""
    today = datetime.now(UTC)
    return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("hospital's proxy"))
            .public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(today + timedelta(days=begins)).not_valid_after(today + timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            .sign(signer, hashes.SHA256()))


class TlsAtHand:
    """What a portal behind TLS, or a proxy that opens TLS, shows to a node."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._root = folder, ec.generate_private_key(ec.SECP256R1())
        self.authority = folder / "authority.pem"
        own = certificate("hospital's proxy", self._root.public_key(), self._root, authority=True)
        self.authority.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    @contextmanager
    def serve(self, *, subject: str = "localhost", status: int = 200, begins: int = -2, ends: int = 2) -> Iterator[str]:
        """Its address, while it answers."""
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        server.socket = self._context(subject, begins, ends).wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)

    def _context(self, subject: str, begins: int, ends: int) -> ssl.SSLContext:
        key, file = ec.generate_private_key(ec.SECP256R1()), self._folder / "server.pem"
        shown = certificate(subject, key.public_key(), self._root, authority=False, begins=begins, ends=ends)
        file.write_bytes(shown.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

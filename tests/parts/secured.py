"""https on loopback: a certificate authority of the test's own, and an end of TLS in front of a server that speaks plain http."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Trust:
    """Files: the authority's certificate, for SSL_CERT_FILE, and a server's certificate and key for 127.0.0.1."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def client(self) -> ssl.SSLContext:
        """For a client that believes this authority."""
        return ssl.create_default_context(cafile=self.authority)


def made_trust(folder: Path) -> Trust:
    """A new authority and a certificate of its, in `folder`."""
    top, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    authority = _certificate(issuer, issuer, top.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    server = _certificate(subject, issuer, key.public_key()).add_extension(here, critical=False)
    made = Trust(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    made.authority.write_bytes(authority.sign(top, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(server.sign(top, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return made


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
    return builder.not_valid_after(now + timedelta(days=1))


@dataclass
class Front:
    """An end of TLS on `port`; what comes goes on to `target`, a port of this machine, once that is known."""

    port: int
    target: int = 0

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@contextmanager
def front(trust: Trust) -> Iterator[Front]:
    """A running one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trust.certificate, trust.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made, threads = Front(int(listening.getsockname()[1])), list[threading.Thread]()
        accepting = threading.Thread(target=_accept, args=(listening, context, made, threads), daemon=True)
        accepting.start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join(15)


def _accept(listening: socket.socket, context: ssl.SSLContext, made: Front, threads: list[threading.Thread]) -> None:
    with suppress(OSError):
        while True:
            raw, _ = listening.accept()
            threads.append(threading.Thread(target=_serve, args=(raw, context, made.target), daemon=True))
            threads[-1].start()


def _serve(raw: socket.socket, context: ssl.SSLContext, target: int) -> None:
    """One exchange: a request whole (they have no large bodies), its answer, the end."""
    raw.settimeout(10)
    with (
        suppress(OSError),
        raw,
        context.wrap_socket(raw, server_side=True) as outer,
        socket.create_connection(("127.0.0.1", target)) as inner,
    ):
        head, _, rest = _until(outer, b"\r\n\r\n").partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        length = next((int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        while len(rest) < length:
            rest += outer.recv(65_536)
        inner.sendall(b"\r\n".join([*lines, b"Connection: close", b"", rest]))
        while piece := inner.recv(65_536):
            outer.sendall(piece)


def _until(source: ssl.SSLSocket, end: bytes) -> bytes:
    found = b""
    while end not in found:
        piece = source.recv(65_536)
        if not piece:
            raise ConnectionError("it ended before the head did")
        found += piece
    return found

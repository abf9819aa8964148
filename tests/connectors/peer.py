"""A server that plays scripts on the loopback interface, and a transport that talks to it."""

import re
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from connectors.calls import Request
from connectors.transport import Transport

SECRETS = ("s3cr3t-signature", "s3cr3t-header", "s3cr3t-body")
REQUEST = Request("POST", f"/v1/cancel?sig={SECRETS[0]}", {"X-Key": SECRETS[1]}, SECRETS[2].encode())
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE_S = 5.0  # no test should ever need it


@dataclass
class Peer:
    """A server that plays one script for each connection, and keeps what it was sent."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def read(self, connection: socket.socket) -> bytes:
        """Read one request, or nothing if the other side closes; kept in ``requests``."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                return data
            data += more
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data)
        whole = data.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
        while len(data) < whole:
            data += connection.recv(65536)
        self.requests.append(data)
        return data


@contextmanager
def peer(script: Callable[[Peer, socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Serve every connection with *script* in a thread of its own until the block ends."""
    played = Peer()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.01)
    played.port = listener.getsockname()[1]
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        try:
            with context.wrap_socket(connection, server_side=True) if context else connection as line:
                script(played, line)
        except OSError:  # the client went away, which is its right
            connection.close()

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            played.connections += 1
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield played
    finally:
        over.set()
        threads[0].join(PATIENCE_S)
        for thread in threads:
            thread.join(PATIENCE_S)
        listener.close()


def answering(*replies: bytes, close: bool = False) -> Callable[[Peer, socket.socket], None]:
    """Script: answer each request with the next reply; then close, or keep the line open until the client goes."""

    def script(peer: Peer, line: socket.socket) -> None:
        for reply in replies:
            if not peer.read(line):
                return
            line.sendall(reply)
        if not close:
            peer.read(line)

    return script


@contextmanager
def sender(port: int, path: str = "", scheme: str = "http", **options: object) -> Iterator[Transport]:
    settings = {"pool_size": 2, "monotonic": time.monotonic, "connect_timeout_s": 10.0, "read_timeout_s": 10.0}
    sending = Transport(f"{scheme}://127.0.0.1:{port}{path}", **(settings | options))  # type: ignore[arg-type]  # of many types
    try:
        yield sending
    finally:
        sending.close()


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Certificate:
    path: str
    server: ssl.SSLContext


def make_certificate(folder: Path, *names: x509.GeneralName) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ripcord test")])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path, key_path)
    return Certificate(str(path), server)


def all_of(error: BaseException) -> str:
    """Give all that a log could show of *error*: texts, causes, traceback, and the local variables of our frames."""
    ours = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "connectors/transport" in frame.f_code.co_filename
    ]
    texts = (error, error.args, vars(error), error.__cause__, error.__context__, *(frame.f_locals for frame in ours))
    assert ours
    return "".join([*map(repr, texts), str(error), *traceback.format_exception(error)])


def keeps_secrets(error: BaseException) -> None:
    shown = all_of(error)
    assert (error.__cause__, error.__context__) == (None, None)
    assert not [secret for secret in SECRETS if secret in shown]
    assert "/v1/cancel?" not in shown
    assert "\n" not in str(error)

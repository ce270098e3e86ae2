"""TLS clients of Python's own library, and a word for each way in which they fail."""

import contextlib
import socket
import ssl
import threading

import pytest

from lab.sockets import TIMEOUT, open_raw, receive

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def client_context(
    authority, *, version=None, pair=None, ciphers=None, alpn=None, curve=None, verify=True
):
    """A context that trusts `authority`; `version` is the only one spoken, `pair` our own."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    if curve is not None:
        context.set_ecdh_curve(curve)
    if pair is not None:
        context.load_cert_chain(*pair)
    return context


def hello_of(*, name=None, protocols=(), newest=None) -> bytes:
    """The first bytes of Python's own TLS client."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if newest is not None:
        context.maximum_version = newest
    if protocols:
        context.set_alpn_protocols(list(protocols))
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def connect(port, context, *, session=None, name="127.0.0.1", source=None) -> ssl.SSLSocket:
    """A connection whose handshake is done."""
    raw = open_raw(port, source=source)
    try:
        return context.wrap_socket(raw, server_hostname=name, session=session)
    except BaseException:
        raw.close()
        raise


def greets(port, context, **options) -> bool:
    """Whether an echoing server answers over TLS: a refusal may come after the handshake."""
    try:
        with connect(port, context, **options) as sock:
            return echoes(sock)
    except (OSError, ssl.SSLError):
        return False


def echoes(sock, data=b"hello") -> bool:
    """Whether bytes come back."""
    try:
        sock.sendall(data)
        return receive(sock, len(data)) == data
    except (OSError, ssl.SSLError):
        return False


def refusal(port, context, **options) -> str:
    """How a client fails: OpenSSL's word, or what comes in place of the first answer."""
    try:
        sock = connect(port, context, **options)
    except ssl.SSLError as error:
        return error.reason or str(error)
    except OSError as error:
        return type(error).__name__
    with contextlib.closing(sock):
        try:
            sock.sendall(b"hello")
            data = sock.recv(100)
        except ssl.SSLError as error:
            return error.reason or str(error)
        except OSError as error:
            return type(error).__name__
        return "no refusal" if data else "end"


def resumed(port, context, *, times=2) -> list[bool]:
    """Whether each of `times` further connections took up the session of the one before."""
    found = []
    session = None
    for _ in range(times + 1):
        with connect(port, context, session=session) as sock:
            assert echoes(sock)
            found.append(sock.session_reused)
            session = sock.session
            with contextlib.suppress(OSError):
                sock.unwrap()
    return found[1:]


class SecureNode:
    """A TLS server that stands for a broker: it echoes, and keeps what it learnt of each client."""

    def __init__(self, context, *, header=False):
        """With `header` a line of PROXY protocol is read before the handshake."""
        self.clients = []
        self.failures = []
        self._context = context
        self._header = header
        self._names = {}
        context.sni_callback = lambda sock, name, _context: self._names.__setitem__(id(sock), name)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._threads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def clean_up(self):
        """Stop listening; what runs ends with its client."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, raw):
        raw.settimeout(TIMEOUT)
        header = b""
        try:
            while self._header and not header.endswith(b"\r\n"):
                header += raw.recv(1)
            sock = self._context.wrap_socket(raw, server_side=True)
        except OSError as error:
            self.failures.append(getattr(error, "reason", None) or str(error))
            raw.close()
            return
        self.clients.append(
            {
                "name": self._names.get(id(sock)),
                "certificate": sock.getpeercert(),
                "alpn": sock.selected_alpn_protocol(),
                "version": sock.version(),
                "cipher": sock.cipher()[0],
                "reused": sock.session_reused,
                "header": header.decode(),
            }
        )
        with contextlib.suppress(OSError), sock:
            while data := sock.recv(65_536):
                sock.sendall(data)


def server_context(pair, *, authority=None, version=None, alpn=None, password=None):
    """A server's context; with `authority` a client has to have a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair, password=password)
    if authority is not None:
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context

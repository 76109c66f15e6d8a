"""One HTTP/1.1 connection that is kept: just enough for a service that answers POSTs with a Content-Length.

Python's `http.client` costs a lookup as much again as everything else that it does, and 10 ms of imports.
"""

import socket
from collections.abc import Callable
from typing import Any

#: Bytes of headers that an answer may have.
MOST_HEADERS = 65_536


class BadAnswer(OSError):
    """What came back is not an HTTP answer that this client understands."""


class Connection:
    """Sends requests one after the other; connects when there is none, and once more when a kept one turns out dead.

    A Lambda environment is frozen between requests, and the other side does not wait for it. Requests may therefore
    arrive twice: only for those that may. Raises OSError, TimeoutError among them.

    `roots` are certificates (PEM) to try before the system's, which are read only where those do not do: it takes
    twenty times as long. `ca_file` replaces both.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: bool,
        connect_seconds: float,
        read_seconds: float,
        ca_file: str | None = None,
        roots: Callable[[], str] | None = None,
    ) -> None:
        # As bytes: Python would load its tables for international names to make bytes of it.
        self._host, self._port, self._tls, self._ca_file = host.encode("ascii"), port, tls, ca_file
        self._roots = None if ca_file else roots
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        self._context: Any = None
        self._idle: socket.socket | None = None

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer to a whole request, headers and body."""
        # Taken out while in use: a second thread opens a connection of its own.
        kept, self._idle = self._idle, None
        if kept is not None:
            try:
                return self._exchange(kept, request)
            except TimeoutError:
                raise
            except OSError:
                pass  # closed while we were frozen or idle; a new connection is the first real try
        return self._exchange(self._connect(), request)

    def _connect(self) -> socket.socket:
        if not self._tls:
            opened = self._open()
        elif self._roots is None:
            opened = self._secured()
        else:
            opened = self._secured_by_roots()
        opened.settimeout(self._read_seconds)
        return opened

    def _open(self) -> socket.socket:
        opened = socket.create_connection((self._host, self._port), self._connect_seconds)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _secured(self) -> socket.socket:
        opened = self._open()
        try:
            return self._tls_context().wrap_socket(opened, server_hostname=self._host)
        except BaseException:
            opened.close()
            raise

    def _secured_by_roots(self) -> socket.socket:
        """Connect trusting `roots` alone; where they do not do, trust the system's from then on."""
        import ssl

        try:
            return self._secured()
        except ssl.SSLCertVerificationError:
            self._roots = self._context = None
            return self._secured()

    def _tls_context(self) -> Any:
        if self._context is None:
            import ssl

            known = self._roots() if self._roots else None
            self._context = ssl.create_default_context(cafile=self._ca_file, cadata=known)
        return self._context

    def _exchange(self, connection: socket.socket, request: bytes) -> tuple[int, bytes]:
        try:
            sent = connection.send(request)  # nearly always all of it, and cheaper than `sendall` over TLS
            if sent < len(request):
                connection.sendall(request[sent:])
            status, body, is_kept = _answer(connection)
        except BaseException:
            connection.close()
            raise
        if is_kept:
            self._idle = connection
        else:
            connection.close()
        return status, body


def _answer(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Read one answer; return status, body and whether the connection can be used again."""
    data = _receive(connection)
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > MOST_HEADERS:
            raise BadAnswer("the answer's headers do not end")
        data += _receive(connection)
    head = data[:end].lower()
    try:
        version, status = head[:8], int(head[9:12])
        length = int(_header(head, b"content-length"))
    except ValueError as error:
        raise BadAnswer(f"an answer without status or length: {head[:80]!r}") from error
    body = data[end + 4 :]
    if len(body) < length:
        parts, missing = [body], length - len(body)
        while missing > 0:
            parts.append(_receive(connection))
            missing -= len(parts[-1])
        body = b"".join(parts)
    if len(body) != length:
        raise BadAnswer("more than one answer to one request")
    return status, body, version == b"http/1.1" and _header(head, b"connection") != b"close"


def _header(head: bytes, name: bytes) -> bytes:
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    stop = head.find(b"\r\n", start)
    return head[start : stop if stop >= 0 else None].strip()


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError("the other side closed the connection")
    return data

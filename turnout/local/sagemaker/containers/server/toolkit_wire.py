"""Messages between the front process and its workers: a JSON head and a body, over a socket pair."""

import json
import socket
import struct
from typing import Any

SIZES = struct.Struct("!IQ")
#: Up to this many bytes, copying a body behind its head is cheaper than a second system call.
SMALL = 2**16


def send(sock: socket.socket, head: dict[str, Any], body: bytes = b"") -> None:
    """Send one message. Raises OSError."""
    encoded = json.dumps(head).encode()
    sizes = SIZES.pack(len(encoded), len(body))
    if len(body) <= SMALL:
        sock.sendall(b"".join((sizes, encoded, body)))
    else:
        sock.sendall(sizes + encoded)
        sock.sendall(body)


def receive(sock: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Return the next message. Raises EOFError when the other side is gone, OSError (TimeoutError too)."""
    head_size, body_size = SIZES.unpack(_exactly(sock, SIZES.size))
    data = _exactly(sock, head_size + body_size)
    return json.loads(bytes(data[:head_size])), bytes(data[head_size:])


def _exactly(sock: socket.socket, size: int) -> memoryview:
    buffer = memoryview(bytearray(size))
    filled = 0
    while filled < size:
        if not (count := sock.recv_into(buffer[filled:])):
            raise EOFError
        filled += count
    return buffer

"""A server that is rude in one way to everybody.

python rude.py PORT KIND
garbage: answers what is not HTTP     redirect: sends elsewhere     hangup: closes without an answer
endless: a body without an end        slow: a body of a byte a tenth of a second
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
SLOW = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"


def answer(kind: str) -> Iterator[bytes]:
    """What it sends to a request."""
    match kind:
        case "garbage":
            yield b"220 mail.example.org ESMTP\r\n"
        case "redirect":
            yield REDIRECT
        case "endless":
            yield ENDLESS
            while True:
                yield CHUNK
        case "slow":
            yield SLOW
            while True:
                time.sleep(0.1)
                yield b"x"


def serve(connection: socket.socket, kind: str) -> None:
    with connection, contextlib.suppress(OSError):
        connection.recv(65536)
        for part in answer(kind):
            connection.sendall(part)
        # Closed with something unread it would be a reset, whatever was sent before.
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        while connection.recv(65536):
            pass


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=serve, args=(accepted, sys.argv[2]), daemon=True).start()

"""A server that counts the request heads it reads and behaves as the path says.

python scripted.py PORT [CERTIFICATE KEY CLIENT_AUTHORITY]    with three files: TLS both ways
POST /ok /slow?ms=N /status?code=N /empty /reset /never /drip /close /hangup /ended /garbage
     /upgrade /text?say=...
GET /count     {"heads": n}
GET /stall?s=N every later answer waits until N seconds from now
"""

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LOCK = threading.Lock()
STATE = {"heads": 0, "stalled_until": 0.0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_GET(self):
        if self.path.startswith("/stall"):
            STATE["stalled_until"] = time.monotonic() + float(self._query("s"))
        self._answer(200, json.dumps({"heads": STATE["heads"]}).encode())

    def do_POST(self):
        with LOCK:
            STATE["heads"] += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(max(0.0, STATE["stalled_until"] - time.monotonic()))
        what = urlsplit(self.path).path
        if what == "/slow":
            time.sleep(float(self._query("ms")) / 1000)
            self._answer(200, b"{}")
        elif what == "/status":
            self._answer(int(self._query("code")), b'{"error": "as you wish"}')
        elif what == "/empty":
            self._answer(200, b"")
        elif what == "/reset":
            self.close_connection = True
        elif what == "/never":
            time.sleep(3600)
        elif what == "/drip":
            self.send_response(200)
            self.send_header("Content-Length", "3600")
            self.end_headers()
            for _ in range(3600):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.1)
        elif what == "/close":
            self.close_connection = True
            self._answer(200, b"{}", {"Connection": "close"})
        elif what == "/hangup":  # without a word
            self.close_connection = True
            self._answer(200, b"{}")
        elif what == "/ended":  # the body's end is the stream's
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")
        elif what == "/garbage":
            self.close_connection = True
            self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        elif what == "/upgrade":
            self.close_connection = True
            self.wfile.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
            )
        elif what == "/text":
            self._answer(200, self._query("say").encode())
        else:
            self._answer(200, b"{}")

    def _query(self, name):
        return parse_qs(urlsplit(self.path).query)[name][0]

    def _answer(self, status, body, headers=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    if len(sys.argv) == 5:  # certificate, key, the authority that clients must show
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        context.load_verify_locations(sys.argv[4])
        context.verify_mode = ssl.CERT_REQUIRED
        # The handshake is done by the connection's own thread: a client may stall in it.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.serve_forever()

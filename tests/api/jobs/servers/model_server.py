"""A model server, protocol sagemaker, that takes 20 ms a request and writes down each.

python model_server.py PORT HOW    HOW: ok | broken (500 to every request) | never (is not ready)

Appends to count.txt, in its working folder: a line a request, with its id, or - of a probe.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOW = sys.argv[2]
COUNT = os.open("count.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
ANSWERS = {"broken": (500, b"no such layer: conv1")}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_GET(self):
        self._answer(503 if HOW == "never" else 200, b"")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        os.write(COUNT, f"{self.headers.get('X-Request-Id', '-')}\n".encode())
        time.sleep(0.02)
        if HOW == "broken":
            print("KeyError: 'conv1' in predict()", flush=True)
        self._answer(*ANSWERS.get(HOW, (200, b"{}")))

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


print("the model is loading", flush=True)
ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

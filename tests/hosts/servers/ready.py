"""A small server to be started by tests: PORT and then words that say how it misbehaves.

GET /ping answers 200, /environ its variables, /where its folder and CPUs, /die ends it, and
/eval?EXPRESSION is what that is to Python. POST /invocations answers the length of what it gets.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

port, words = int(sys.argv[1]), sys.argv[2:]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {
            "/environ": dict(os.environ),
            "/where": {
                "cwd": os.getcwd(),
                "cpus": sorted(os.sched_getaffinity(0)),
                "argv": sys.argv[2:],
                "pid": os.getpid(),
            },
        }.get(self.path, {})
        if self.path.startswith("/eval?"):
            body = eval(unquote(self.path.partition("?")[2]))
        if self.path == "/die":
            print("dying as told", flush=True)
            os._exit(3)
        answer = json.dumps(body).encode()
        self.send_response(503 if "unready" in words else 200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self):
        length = len(self.rfile.read(int(self.headers["content-length"])))
        answer = json.dumps({"length": length}).encode()
        self.send_response(200 if self.path == "/invocations" else 404)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


def daemonise():
    """The double fork: out of the parent's tree, into a session of its own."""
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def note(name):
    """Append this process to the file that tests look for survivors in."""
    if "PIDS" in os.environ:
        with open(os.environ["PIDS"], "a") as file:
            file.write(f"{os.getpid()} {name}\n")


if "stubborn" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
note("server")
if "child" in words and not os.fork():
    note("child")
    time.sleep(600)
if "daemon" in words and daemonise():
    note("daemon")
    time.sleep(600)
if "background" in words:
    if not daemonise():
        sys.exit(0)
    note("background")
if "slow" in words:
    time.sleep(0.5)
if "loading" in words:
    time.sleep(600)
if "exit" in words:
    print("line one\nthe model is missing", file=sys.stderr, flush=True)
    sys.exit(7)
if "chatty" in words:

    def chat():
        while True:
            os.write(1, (b"x" * 63 + b"\n") * 100)

    threading.Thread(target=chat, daemon=True).start()
if "busy" in words:

    def burn():
        while True:
            sum(range(1000))

    threading.Thread(target=burn, daemon=True).start()
if "greedy" in words:
    hoard = b"x" * (200 << 20)
if "secret" in words:
    for letter in os.environ["TOKEN"]:
        os.write(1, letter.encode())
        time.sleep(0.01)
    os.write(1, b"\n")
server = ThreadingHTTPServer((os.environ.get("LISTEN", "127.0.0.1"), port), Handler)
print("listening", flush=True)
server.serve_forever()

"""A gRPC server, the real grpcio's, that counts the calls it reads and behaves as metadata says.

python grpc_scripted.py PORT [CERTIFICATE KEY]
A call with the metadata `how` is answered: fail (as RESOURCE_EXHAUSTED), busy (UNAVAILABLE),
never, empty, large (1 MB), slow (after 200 ms); any other with the message's length and first
bytes. /count/heads: how many calls, and how many different ids they had, as text.
"""

import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc

LOCK = threading.Lock()
STATE = {"heads": 0}
IDS: set[str] = set()


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(count if "count" in details.method else answer)


def count(request, context):
    return f"{STATE['heads']} {len(IDS)}".encode()


def answer(request, context):
    metadata = dict(context.invocation_metadata())
    with LOCK:
        STATE["heads"] += 1
        IDS.add(metadata["x-request-id"])
    match metadata.get("how"):
        case "fail":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full, 100% ü")
        case "busy":
            context.abort(grpc.StatusCode.UNAVAILABLE, "loading")
        case "never":
            time.sleep(3600)
        case "empty":
            return b""
        case "large":
            return b"y" * 1_000_000
        case "slow":
            time.sleep(0.2)
    return b"%d " % len(request) + request[:100]


def main():
    server = grpc.server(
        futures.ThreadPoolExecutor(32),
        handlers=[Handler()],
        options=[("grpc.max_receive_message_length", 4_000_000)],
    )
    address = f"127.0.0.1:{sys.argv[1]}"
    if len(sys.argv) > 2:
        certificate, key = (Path(name).read_bytes() for name in sys.argv[2:4])
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


main()

"""One gRPC call over the control plane, as the measured client sends it."""

from __future__ import annotations

import socket
import time

from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.control import KEPT_BYTES, ProbeError, ProbeReply
from rightsizer.hosts.trust import trust_of
from rightsizer.protocols import Body, Request
from rightsizer.traffic.grpc_channel import OK, Channel, H2Error, Message
from rightsizer.traffic.outgoing import Target

RECEIVE_BYTES = 65536


def send_grpc_probe(endpoint: Endpoint, request: Request, body: Body) -> ProbeReply:
    """One call within the request's timeout, in all; a refusal's words are the reply's body.

    Raises:
        ProbeError: no connection, no answer in time, or one that is not gRPC.
    """
    trust = trust_of(endpoint.tls) if endpoint.url.startswith("https:") else None
    target = Target.of(endpoint.url, trust)
    message = Message(target, request.path, request.headers, body.content)
    line = None
    try:
        line = _Line(target, request.timeout_s)
        return line.call(message)
    except TimeoutError:
        raise ProbeError(f"no answer within {request.timeout_s:g} s") from None
    except H2Error as error:
        raise ProbeError(f"the answer is not gRPC ({error})") from None
    except OSError as error:
        why = "no connection" if line is None else "the call was broken off"
        raise ProbeError(f"{why} ({error})") from None
    finally:
        if line is not None:
            line.socket.close()


class _Line:
    """A connection that waits for whatever comes, within a deadline."""

    def __init__(self, target: Target, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s
        self.socket = socket.create_connection((target.host, target.port), timeout_s)
        try:
            if target.trust is not None:
                target.trust.set_alpn_protocols(["h2"])
                self.socket = target.trust.wrap_socket(self.socket, server_hostname=target.host)
        except BaseException:
            self.socket.close()
            raise
        self._channel = Channel()

    def call(self, message: Message) -> ProbeReply:
        """See `send_grpc_probe`; raises OSError, H2Error."""
        channel = self._channel
        while not channel.settled:
            self._step()
        begin_s = time.perf_counter()
        self._deadline_s = time.monotonic() + self._timeout_s
        channel.begin(message, 0)
        while not channel.complete:
            self._step()
        took_s = time.perf_counter() - begin_s
        said = channel.body() if channel.status == OK else channel.said
        return ProbeReply(channel.status, said[:KEPT_BYTES], len(said), took_s)

    def _step(self) -> None:
        """Send what there is to be sent, or else wait for an answer."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.socket.settimeout(left_s)
        if data := self._channel.take():
            self.socket.sendall(data)
            return
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("closed before the answer was complete")
        self._channel.feed(data)
        if self._channel.broken:
            raise ConnectionResetError("the server broke it off")

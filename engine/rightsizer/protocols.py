"""What a protocol means, pure: the body of a request, the ready path, how an error reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from rightsizer.errors import EnvironmentFault, InputError
from rightsizer.payloads import Payload
from rightsizer.spec import ServerSpec
from rightsizer.tensors import predict_request, tensor_of

GRPC = "tfs-grpc"
READY_PATHS: Mapping[str, str] = {"sagemaker": "/ping"}
UNLIMITED_BYTES = 1 << 62


@dataclass(frozen=True)
class Body:
    """One request body as it goes over the wire."""

    name: str
    content: bytes = field(repr=False)
    content_type: str
    weight: float = 1.0


@dataclass(frozen=True)
class ResponseCheck:
    """What a 2xx reply must be to count as an invocation. Sizes are of the body."""

    min_bytes: int = 0
    max_bytes: int | None = None
    contains: str | None = None

    @property
    def sizes(self) -> range:
        """Lengths that qualify a reply."""
        return range(
            self.min_bytes, UNLIMITED_BYTES if self.max_bytes is None else self.max_bytes + 1
        )


@dataclass(frozen=True)
class Request:
    """What one invocation sends, but for which body."""

    method: str
    path: str
    headers: Mapping[str, str]
    bodies: Sequence[Body]
    timeout_s: float
    check: ResponseCheck
    grpc: bool = False
    """A unary gRPC call to `path`, the body its message and the headers its metadata."""


def ready_path(server: ServerSpec) -> str | None:
    """The path whose 200 means ready; None: ready when a connection is accepted and the first
    probe is answered."""
    if server.ready_path:
        return server.ready_path
    if server.protocol == "tfs-rest":
        return f"/v1/models/{server.request.model or 'model'}"
    return READY_PATHS.get(server.protocol)


def request_of(server: ServerSpec, payloads: Sequence[Payload]) -> Request:
    """The invocation that a server's spec and payloads describe, bodies encoded once.

    Raises:
        InputError: a payload cannot be put into the protocol's body.
        EnvironmentFault: the protocol's client is not installed.
    """
    if server.protocol == GRPC and find_spec("h2") is None:
        what, why = "tfs-grpc needs HTTP/2", "the package h2 is not installed"
        raise EnvironmentFault(what, why, "pip install 'rightsizer[grpc]'")
    default_minimum = 0 if server.protocol == "raw" else 1
    minimum = server.response.min_bytes
    return Request(
        method=server.request.method,
        path=_path(server),
        headers=dict(server.request.headers),
        bodies=[_body(server, payload) for payload in payloads],
        timeout_s=server.request_timeout_s,
        check=ResponseCheck(
            min_bytes=default_minimum if minimum is None else minimum,
            max_bytes=server.response.max_bytes,
            contains=server.response.contains,
        ),
        grpc=server.protocol == GRPC,
    )


def _path(server: ServerSpec) -> str:
    if server.request.path:
        return server.request.path
    if server.protocol == "tfs-rest":
        return f"/v1/models/{server.request.model or 'model'}:predict"
    if server.protocol == GRPC:
        return "/tensorflow.serving.PredictionService/Predict"
    return "/invocations" if server.protocol == "sagemaker" else "/"


def _body(server: ServerSpec, payload: Payload) -> Body:
    if server.protocol == "tfs-rest":
        content = _predict_body(server, payload)
        return Body(payload.name, content, "application/json", payload.weight)
    if server.protocol == GRPC:
        asked = server.request
        assert asked.input is not None  # a job file without it was refused
        tensor = tensor_of(payload)
        content = predict_request(asked.model or "model", asked.signature, asked.input, tensor)
        return Body(payload.name, content, "application/grpc", payload.weight)
    return Body(payload.name, payload.body, payload.content_type, payload.weight)


def _predict_body(server: ServerSpec, payload: Payload) -> bytes:
    """TensorFlow Serving's row format (its api_rest.md), one instance a request."""
    value: object = {"b64": base64.b64encode(payload.body).decode()}
    if payload.content_type == "application/json":
        try:
            value = json.loads(payload.body)
        except ValueError as error:
            what = f"payload {payload.name} is application/json but cannot be parsed"
            raise InputError(what, str(error), "mend it or its content type") from None
    instance = {server.request.input: value} if server.request.input else value
    document = {"signature_name": server.request.signature, "instances": [instance]}
    return json.dumps(document, separators=(",", ":")).encode()


def error_text(body: bytes, limit: int = 300) -> str:
    """What a refusing reply says, in one line: its JSON `error`, else its first bytes."""
    text = body[: 4 * limit].decode("utf-8", "replace")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        text = parsed["error"]
    # A server's bytes must not steer the reader's terminal.
    text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())[:limit] or "(empty body)"

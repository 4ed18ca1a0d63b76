"""The two ways to fail: before the start, and on a request."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class StartError(Exception):
    """The server cannot start. The message is one line: what, why, what to do."""


class Code(enum.IntEnum):
    """Canonical status codes, numbered as TensorFlow and gRPC number them."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# TensorFlow Serving's model_servers/http_server.cc; every other code is a 500.
_HTTP_STATUS: Mapping[Code, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class ServingError(Exception):
    """A request that TensorFlow Serving would refuse, in its words."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that stands for the code."""
        return _HTTP_STATUS.get(self.code, 500)

    def __str__(self) -> str:
        return self.message


def invalid(message: str) -> ServingError:
    """INVALID_ARGUMENT, by far the commonest refusal."""
    return ServingError(Code.INVALID_ARGUMENT, message)

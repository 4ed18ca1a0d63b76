"""What goes back over the wire, and the one form of every error body."""

from __future__ import annotations

import json
from dataclasses import dataclass

JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """A complete HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON


def error_reply(status: int, message: str) -> Reply:
    """An error as TensorFlow Serving and the SageMaker container write it."""
    return Reply(status, json.dumps({"error": message}, indent=4, ensure_ascii=False).encode())

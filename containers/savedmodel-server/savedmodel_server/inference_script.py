"""The user's inference.py: `handler`, or `input_handler` and `output_handler`."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from savedmodel_server import json_text, sagemaker, tfs_rest
from savedmodel_server.errors import StartError, invalid
from savedmodel_server.reply import JSON, Reply, error_reply
from savedmodel_server.sagemaker import Invocation
from savedmodel_server.signature import DEFAULT_SIGNATURE, ServedModel, bytes_row

Handler = Callable[[Any, Any], tuple[str | bytes, str]]


class Context(NamedTuple):
    """What a handler is told: the container's fields, and `predict`, which only this server has.

    `predict(content)` runs the default signature on one row of bytes and returns the JSON that
    `rest_uri` would answer, without the base64, the parsing and the second request that it costs.
    """

    model_name: str | None
    model_version: str | None
    method: str | None
    rest_uri: str
    grpc_port: str | None
    channel: object | None
    custom_attributes: str | None
    request_content_type: str
    accept_header: str
    content_length: int
    timeout: float
    predict: Callable[[bytes], bytes]


class TfsResponse:
    """TensorFlow Serving's answer, with what handlers use of a requests.Response."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = reply.status
        self.content = reply.body
        self.headers = {"Content-Type": reply.content_type}
        self.ok = reply.status < 400

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        if not self.ok:
            raise ValueError(f"{self.status_code}: {self.text}")


class InferenceScript:
    """A loaded inference.py in front of a model. `answer` may be called by several threads."""

    def __init__(self, path: Path, model: ServedModel, base_url: str) -> None:
        """Import the script.

        Args:
            base_url: this server's own, for scripts that post to `context.rest_uri`.

        Raises:
            StartError: the script cannot be imported, or defines no handlers.
        """
        self._model = model
        self._base_url = base_url
        self._handler = self._find_handler(path, _import(path))

    def answer(self, invocation: Invocation) -> Reply:
        """The reply that the script makes; whatever it raises is a 500, as in the container."""
        try:
            context = self._context(invocation)
        except ValueError as error:
            return error_reply(400, str(error))
        try:
            body, content_type = self._handler(io.BytesIO(invocation.body), context)
            content = body.encode() if isinstance(body, str) else bytes(body)
            return Reply(200, content, content_type or JSON)
        except Exception as error:
            print(f"inference.py failed: {error!r}", file=sys.stderr, flush=True)
            return error_reply(_status(error), str(error))

    def _context(self, invocation: Invocation) -> Context:
        attributes = sagemaker.parse_attributes(invocation.custom_attributes)
        path = sagemaker.tfs_path(self._model, attributes)
        return Context(
            model_name=attributes.get("tfs-model-name"),
            model_version=attributes.get("tfs-model-version"),
            method=attributes.get("tfs-method"),
            rest_uri=self._base_url + path,
            grpc_port=None,
            channel=None,
            custom_attributes=invocation.custom_attributes,
            request_content_type=invocation.content_type or JSON,
            accept_header=invocation.accept or JSON,
            content_length=len(invocation.body),
            timeout=60,
            predict=functools.partial(self._predict, path),
        )

    def _predict(self, path: str, content: bytes) -> bytes:
        if refusal := tfs_rest.refusal_at(self._model, path):
            raise refusal
        signature = self._model.signatures.get(DEFAULT_SIGNATURE)
        name = signature.sole_bytes_input if signature else None
        if name is None:
            raise invalid(f"{DEFAULT_SIGNATURE} has no sole input that takes strings")
        outputs = self._model.predict(DEFAULT_SIGNATURE, {name: bytes_row(content)})
        return json_text.rows_text(outputs).encode()

    def _find_handler(self, path: Path, script: Any) -> Handler:
        if hasattr(script, "handler"):
            handler: Handler = script.handler
            return handler
        if hasattr(script, "input_handler") and hasattr(script, "output_handler"):
            return self._pair(script.input_handler, script.output_handler)
        raise StartError(
            f"{path} defines no handlers: define handler(data, context), or input_handler and "
            "output_handler"
        )

    def _pair(self, before: Callable[..., Any], after: Callable[..., Any]) -> Handler:
        def handler(data: Any, context: Context) -> tuple[str | bytes, str]:
            body = before(data, context)
            content = body.encode() if isinstance(body, str) else bytes(body)
            path = context.rest_uri.removeprefix(self._base_url)
            response = TfsResponse(tfs_rest.answer(self._model, "POST", path, content))
            answer: tuple[str | bytes, str] = after(response, context)
            return answer

        return handler


def _status(error: Exception) -> int:
    """An exception may choose its status with `http_status`; the container knows only 500."""
    status = getattr(error, "http_status", None)
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def _import(path: Path) -> Any:
    # As the container does: the script's own folder, and lib/ in it, can be imported from.
    sys.path[:0] = [str(path.parent), str(path.parent / "lib")]
    spec = importlib.util.spec_from_file_location("inference", path)
    if spec is None or spec.loader is None:
        raise StartError(f"cannot import {path}: it is no Python file")
    script = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(script)
    except Exception as error:
        raise StartError(f"cannot import {path}: {error!r}; mend the script") from None
    return script

"""The SageMaker contract: what a POST to /invocations means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from savedmodel_server import json_text, tfs_rest
from savedmodel_server.errors import ServingError
from savedmodel_server.reply import JSON, Reply, error_reply
from savedmodel_server.signature import DEFAULT_SIGNATURE, ServedModel, bytes_row

IMAGE = "application/x-image"
ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"

_ATTRIBUTE = re.compile(r"(tfs-[a-z-]+)=([^,]+)")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_METHODS = ("predict", "classify", "regress")
_TFS_BODY = re.compile(rb'"(?:instances|inputs|examples)"\s*:')
_LIST_OF_LISTS = re.compile(rb"\s*\[\s*\[")


@dataclass(frozen=True)
class Invocation:
    """One POST to /invocations. Header values are None where the header is missing."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None


def answer(model: ServedModel, invocation: Invocation) -> Reply:
    """The reply where the archive brings no inference.py of its own."""
    media_type = (invocation.content_type or "").split(";")[0].strip().lower()
    try:
        path = tfs_path(model, parse_attributes(invocation.custom_attributes))
    except ValueError as error:
        return error_reply(400, str(error))
    if media_type == JSON:
        return tfs_rest.answer(model, "POST", path, tfs_body(invocation.body))
    if media_type == IMAGE:
        return _answer_image(model, path, invocation.body)
    return error_reply(415, f"Unsupported Media Type: {invocation.content_type or 'Unknown'}")


def _answer_image(model: ServedModel, path: str, image: bytes) -> Reply:
    signature = model.signatures.get(DEFAULT_SIGNATURE)
    name = signature.sole_bytes_input if signature else None
    if name is None:
        return error_reply(
            415,
            f"Unsupported Media Type: {IMAGE} needs a {DEFAULT_SIGNATURE} signature whose only "
            "input takes strings; send application/json",
        )
    try:
        if refusal := tfs_rest.refusal_at(model, path):
            raise refusal
        outputs = model.predict(DEFAULT_SIGNATURE, {name: bytes_row(image)})
        return Reply(200, json_text.rows_text(outputs).encode())
    except ServingError as error:
        return error_reply(error.status, error.message)


def parse_attributes(header: str | None) -> dict[str, str]:
    """The `tfs-*` entries of X-Amzn-SageMaker-Custom-Attributes."""
    return dict(_ATTRIBUTE.findall(header or ""))


def tfs_path(model: ServedModel, attributes: dict[str, str]) -> str:
    """The TensorFlow Serving path that custom attributes choose.

    Raises:
        ValueError: an attribute could name something outside the served models.
    """
    name = attributes.get("tfs-model-name", model.name)
    version = attributes.get("tfs-model-version")
    method = attributes.get("tfs-method", "predict")
    if "tfs-model-name" in attributes and not _MODEL_NAME.fullmatch(name):
        raise ValueError("invalid tfs-model-name")
    if version is not None and not (version.isascii() and version.isdigit()):
        raise ValueError("invalid tfs-model-version: must be a positive integer")
    if method not in _METHODS:
        raise ValueError("invalid tfs-method: must be one of predict|classify|regress")
    return f"/v1/models/{name}" + (f"/versions/{version}" if version else "") + f":{method}"


def tfs_body(body: bytes) -> bytes:
    """JSON as TensorFlow Serving wants it: whatever has none of its keys becomes the instances."""
    if not body.strip() or _TFS_BODY.search(body):
        return body
    rows = body if _LIST_OF_LISTS.match(body) else b"[" + body + b"]"
    return b'{"instances":' + rows + b"}"

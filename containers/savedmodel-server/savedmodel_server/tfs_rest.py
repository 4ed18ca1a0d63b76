"""TensorFlow Serving's REST dialect: paths, statuses and bodies. Pure but for the model's run."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from savedmodel_server import json_input, json_text
from savedmodel_server.errors import Code, ServingError, invalid
from savedmodel_server.reply import Reply, error_reply
from savedmodel_server.signature import DEFAULT_SIGNATURE, ServedModel

PREFIX = "/v1/"

_ACTION = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)",
    re.IGNORECASE | re.ASCII,
)
_STATUS = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(/metadata)?",
    re.IGNORECASE | re.ASCII,
)
_LARGEST_VERSION = 2**63 - 1


def is_prediction(path: str) -> bool:
    """Whether a POST to this path runs the model."""
    return path.startswith(PREFIX) and path.endswith(":predict")


def answer(model: ServedModel, method: str, path: str, body: bytes) -> Reply:
    """The reply to one request under /v1/.

    Args:
        path: as sent, still percent-encoded, without the query.
    """
    try:
        if method == "POST" and (match := _ACTION.fullmatch(path)):
            return _act(model, match, body)
        if method == "GET" and (match := _STATUS.fullmatch(path)):
            return _describe(model, match)
        raise invalid(f"Malformed request: {method} {path}")
    except ServingError as error:
        return error_reply(error.status, error.message)


def predict(model: ServedModel, body: bytes) -> Reply:
    """The reply to a predict body for the served model."""
    try:
        return _predict(model, body, None)
    except ServingError as error:
        return error_reply(error.status, error.message)


def refusal_at(model: ServedModel, path: str) -> ServingError | None:
    """Why a prediction posted to this path would be refused whatever its body; else None."""
    match = _ACTION.fullmatch(path)
    if match is None:
        return invalid(f"Malformed request: POST {path}")
    try:
        name, version, label, action = match.groups()
        _check_action(action, path)
        return refusal_of(model, unquote(name), _version(version), label)
    except ServingError as error:
        return error


def _act(model: ServedModel, match: re.Match[str], body: bytes) -> Reply:
    name, version, label, action = match.groups()
    asked = _version(version)
    _check_action(action, match.string)
    return _predict(model, body, refusal_of(model, unquote(name), asked, label))


def _check_action(action: str, path: str) -> None:
    if action == "predict":
        return
    # The pattern ignores case; what follows it in TensorFlow Serving does not.
    if action.lower() == action:
        raise ServingError(Code.UNIMPLEMENTED, f"{action} is not served here: use predict")
    raise invalid(f"Malformed request: POST {path}")


def _predict(model: ServedModel, body: bytes, refusal: ServingError | None) -> Reply:
    document = json_input.parse(body)
    asked = json_input.signature_name(document)
    # TensorFlow Serving looks for the model only now: bad JSON for an unknown model is a 400.
    if refusal:
        raise refusal
    name = asked or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    inputs, by_rows = json_input.read_inputs(document, asked, signature)
    outputs = model.predict(name, inputs)
    text = json_text.rows_text(outputs) if by_rows else json_text.columns_text(outputs)
    return Reply(200, text.encode())


def refusal_of(
    model: ServedModel, name: str, version: int | None, label: str | None
) -> ServingError | None:
    """Why a request for this model is refused; None where it is the served one."""
    if label is not None and name == model.name:
        return invalid(f"Unrecognized servable version label: {unquote(label)}")
    if name == model.name and version in (None, model.version):
        return None
    wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")


def _describe(model: ServedModel, match: re.Match[str]) -> Reply:
    name, version, label, metadata = match.groups()
    asked = _version(version)
    if not name:
        raise invalid("Missing model name in request.")
    name = unquote(name)
    if metadata:
        if refusal := refusal_of(model, name, asked, label):
            raise refusal
        return Reply(200, _metadata(model).encode())
    if label is not None:
        raise invalid(f"Unrecognized servable version label: {unquote(label)}")
    if name != model.name and asked is None:
        raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
    if name != model.name or asked not in (None, model.version):
        raise ServingError(Code.NOT_FOUND, f"Could not find version {asked} of model {name}")
    status = {
        "version": str(model.version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return Reply(200, (json.dumps({"model_version_status": [status]}, indent=1) + "\n").encode())


def _metadata(model: ServedModel) -> str:
    spec = {"name": model.name, "signature_name": "", "version": str(model.version)}
    definitions = {"signature_def": model.metadata}
    return (
        f'{{\n"model_spec":{json.dumps(spec, indent=1)}\n,\n'
        f'"metadata": {{"signature_def": {json.dumps(definitions, indent=1)}\n}}\n}}\n'
    )


def _version(digits: str | None) -> int | None:
    if not digits:
        return None
    if len(digits) > 19 or int(digits) > _LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    return int(digits)

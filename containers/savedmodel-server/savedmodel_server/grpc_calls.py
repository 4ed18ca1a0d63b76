"""TensorFlow Serving's gRPC dialect: a call's bytes in, its answer's bytes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from savedmodel_server import grpc_messages as messages
from savedmodel_server.errors import Code, ServingError, invalid
from savedmodel_server.signature import DEFAULT_SIGNATURE, Array, ServedModel, Signature
from savedmodel_server.tfs_rest import refusal_of

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_HEALTH = "grpc.health.v1.Health"
_SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", _HEALTH)

Answer = Callable[[ServedModel, bytes], bytes]


def predict(model: ServedModel, content: bytes) -> bytes:
    """PredictionService/Predict; raises ServingError."""
    from tensorflow import make_tensor_proto

    request = _read(messages.PredictRequest, content)
    _refuse_other(model, request)
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        message = f'Serving signature key "{name}" not found.'
        raise ServingError(Code.FAILED_PRECONDITION, message)
    asked = list(request.output_filter) or list(signature.outputs)
    _require_known("output", asked, signature.outputs)
    outputs = model.predict(name, _inputs(request.inputs, signature))
    response = messages.PredictResponse()
    _answer_for(model, response, name)
    for output in asked:
        response.outputs[output] = make_tensor_proto(outputs[output]).SerializeToString()
    return bytes(response.SerializeToString())


def metadata(model: ServedModel, content: bytes) -> bytes:
    """PredictionService/GetModelMetadata; raises ServingError."""
    request = _read(messages.GetModelMetadataRequest, content)
    _refuse_other(model, request)
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid(f"Metadata field {field} is not supported")
    signatures = messages.SignatureDefMap()
    for name, definition in model.definitions.items():
        signatures.signature_def[name] = definition
    response = messages.GetModelMetadataResponse()
    _answer_for(model, response, "")
    held = response.metadata["signature_def"]
    held.type_url = messages.SIGNATURE_DEF_MAP_URL
    held.value = signatures.SerializeToString()
    return bytes(response.SerializeToString())


def status(model: ServedModel, content: bytes) -> bytes:
    """ModelService/GetModelStatus; raises ServingError."""
    request = _read(messages.GetModelStatusRequest, content)
    name, version = request.model_spec.name, _version(request.model_spec)
    if name != model.name and version is None:
        raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
    if name != model.name or version not in (None, model.version):
        raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
    response = messages.GetModelStatusResponse()
    one = response.model_version_status.add(version=model.version, state=messages.AVAILABLE)
    one.status.SetInParent()
    return bytes(response.SerializeToString())


def health(model: ServedModel, content: bytes) -> bytes:
    """grpc.health.v1.Health/Check: there is a model, or nothing listens; raises ServingError."""
    if _read(messages.HealthCheckRequest, content).service not in _SERVICES:
        raise ServingError(Code.NOT_FOUND, "unknown service")
    return bytes(messages.HealthCheckResponse(status=messages.SERVING).SerializeToString())


ANSWERS: Mapping[str, Answer] = {
    PREDICT: predict,
    "/tensorflow.serving.PredictionService/GetModelMetadata": metadata,
    "/tensorflow.serving.ModelService/GetModelStatus": status,
    f"/{_HEALTH}/Check": health,
}
"""What answers each method. Predict takes a worker; the others are done in no time."""


def _read(kind: Any, content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        # gRPC's own servers say so of a message that cannot be read.
        raise ServingError(Code.INTERNAL, "could not parse the request message") from None


def _refuse_other(model: ServedModel, request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise invalid("ModelSpec has no model name specified.")
    refusal = refusal_of(model, spec.name, _version(spec), spec.version_label or None)
    if refusal:
        raise refusal


def _version(spec: Any) -> int | None:
    return int(spec.version.value) if spec.HasField("version") else None


def _answer_for(model: ServedModel, response: Any, signature: str) -> None:
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.model_spec.signature_name = signature


def _inputs(given: Mapping[str, bytes], signature: Signature) -> dict[str, Array]:
    if given.keys() != signature.inputs.keys():
        expected = signature.inputs
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(expected)} "
            f"len({_names(given)}) != len({_names(expected)}). "
            f"Sent extra: {_names(given.keys() - expected.keys())}. "
            f"Missing but required: {_names(expected.keys() - given.keys())}."
        )
    return {
        name: _array(number, given[name], spec.dtype)
        for number, (name, spec) in enumerate(signature.inputs.items())
    }


def _array(number: int, content: bytes, dtype: str) -> Array:
    from tensorflow import make_ndarray
    from tensorflow.core.framework import tensor_pb2, types_pb2

    try:
        tensor = tensor_pb2.TensorProto.FromString(content)
        sent = types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower()
        if sent == dtype:
            array: Array = make_ndarray(tensor)
            return array
    except (DecodeError, ValueError, TypeError) as error:
        raise invalid(f"Invalid TensorProto: {error}") from None
    raise invalid(f"Expects arg[{number}] to be {dtype} but {sent} is provided")


def _require_known(kind: str, names: Iterable[str], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            expected = f"{kind.capitalize()}s expected to be in the set {_names(known)}."
            raise invalid(f"{kind} tensor alias not found in signature: {name} {expected}")


def _names(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"

"""The messages of TensorFlow Serving's gRPC services, and of gRPC's health check.

By the field numbers of tensorflow_serving/apis/{model,predict,get_model_metadata,get_model_status}
.proto and grpc/health/v1/health.proto, as far as one served model needs them. They are made here,
not generated: generated code is bound to one release of protobuf, and the names of messages, which
do not go over the wire, would clash with those of an installed tensorflow-serving-api. For the same
reason a tensor, a signature and what Any holds are bytes: on the wire a message is no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FILE = "savedmodel_server/serving.proto"
_PACKAGE = "savedmodel_server"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
}

# A field's number and type; `map`: from names; `repeated`: any number of them.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Version": {"value": (1, "int64")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Version"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"),
        "inputs": (2, "map bytes"),
        "output_filter": (3, "repeated string"),
    },
    "PredictResponse": {"outputs": (1, "map bytes"), "model_spec": (2, "ModelSpec")},
    "GetModelMetadataRequest": {
        "model_spec": (1, "ModelSpec"),
        "metadata_field": (2, "repeated string"),
    },
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "GetModelMetadataResponse": {"model_spec": (1, "ModelSpec"), "metadata": (2, "map Any")},
    "SignatureDefMap": {"signature_def": (1, "map bytes")},
    "GetModelStatusRequest": {"model_spec": (1, "ModelSpec")},
    "Status": {"error_code": (1, "int32"), "error_message": (2, "string")},
    "ModelVersionStatus": {
        "version": (1, "int64"),
        "state": (2, "int32"),
        "status": (3, "Status"),
    },
    "GetModelStatusResponse": {"model_version_status": (1, "repeated ModelVersionStatus")},
    "HealthCheckRequest": {"service": (1, "string")},
    "HealthCheckResponse": {"status": (1, "int32")},
}
AVAILABLE, SERVING = 30, 1
"""A model's state, a service's health."""
SIGNATURE_DEF_MAP_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


def _add(message: Any, name: str, number: int, kind: str) -> None:
    how, _, kind = kind.rpartition(" ")
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if how else _Field.LABEL_OPTIONAL
    if how == "map":
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _add(entry, "key", 1, "string")
        _add(entry, "value", 2, kind)
        kind = f"{message.name}.{entry.name}"
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_made = _classes()
PredictRequest, PredictResponse = _made["PredictRequest"], _made["PredictResponse"]
GetModelMetadataRequest = _made["GetModelMetadataRequest"]
GetModelMetadataResponse = _made["GetModelMetadataResponse"]
SignatureDefMap = _made["SignatureDefMap"]
GetModelStatusRequest = _made["GetModelStatusRequest"]
GetModelStatusResponse = _made["GetModelStatusResponse"]
HealthCheckRequest, HealthCheckResponse = _made["HealthCheckRequest"], _made["HealthCheckResponse"]

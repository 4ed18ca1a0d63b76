"""What saved_model.pb says of its signatures, read without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savedmodel_server.errors import StartError
from savedmodel_server.signature import Signature, TensorSpec


def read_definitions(version_folder: Path) -> Mapping[str, Any]:
    """The SignatureDef messages by name.

    Raises:
        StartError: the file cannot be read, or is no SavedModel.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = version_folder / "saved_model.pb"
    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise StartError(f"cannot read {path}: {error}; export the model again") from None
    graphs = [graph for graph in message.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not graphs:
        raise StartError(f"{path} has no graph tagged 'serve': export it with tf.saved_model.save")
    return dict(graphs[0].signature_def)


def signature_of(definition: Any) -> Signature:
    """One SignatureDef as a value; tensors in the order of their names."""
    return Signature(
        inputs={name: _spec(definition.inputs[name]) for name in sorted(definition.inputs)},
        outputs={name: _spec(definition.outputs[name]) for name in sorted(definition.outputs)},
    )


def _spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
    dtype = _type_name(info).removeprefix("DT_").lower()
    return TensorSpec(dtype, None if shape.unknown_rank else sizes)


def _type_name(info: Any) -> str:
    from tensorflow.core.framework import types_pb2

    return str(types_pb2.DataType.Name(info.dtype))


def metadata_of(definition: Any) -> dict[str, Any]:
    """One SignatureDef as TensorFlow Serving's /metadata writes it."""
    return {
        "inputs": _tensors(definition.inputs),
        "outputs": _tensors(definition.outputs),
        "method_name": definition.method_name,
        "defaults": {},
    }


def _tensors(infos: Any) -> dict[str, Any]:
    return {
        name: {
            "dtype": _type_name(infos[name]),
            "tensor_shape": {
                "dim": [
                    {"size": str(dim.size), "name": dim.name}
                    for dim in infos[name].tensor_shape.dim
                ],
                "unknown_rank": infos[name].tensor_shape.unknown_rank,
            },
            "name": infos[name].name,
        }
        for name in sorted(infos)
    }

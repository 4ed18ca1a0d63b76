"""A SavedModel in memory: loading, threads, running. The only module that runs TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from savedmodel_server.definitions import metadata_of, read_definitions, signature_of
from savedmodel_server.errors import Code, ServingError, StartError, invalid
from savedmodel_server.layout import ModelFolder
from savedmodel_server.settings import Settings
from savedmodel_server.signature import Array, Signature

Run = Callable[[Mapping[str, Any]], dict[str, Any]]


class Model:
    """A loaded model. `predict` may be called from any thread, by several at once."""

    def __init__(
        self,
        folder: ModelFolder,
        loaded: object,
        signatures: Mapping[str, Signature],
        metadata: Mapping[str, Any],
        definitions: Mapping[str, bytes],
        functions: Mapping[str, Any],
    ) -> None:
        self.name = folder.name
        self.version = folder.version
        self.signatures = signatures
        self.metadata = metadata
        self.definitions = definitions
        self._runs = {name: direct_run(function) for name, function in functions.items()}
        self._loaded = loaded  # the functions do not keep their variables alive

    def predict(self, signature: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one signature on arrays of its types.

        Raises:
            ServingError: the model refuses these inputs, or fails.
        """
        import tensorflow as tf

        try:
            tensors = {name: tf.constant(value) for name, value in inputs.items()}
            outputs = self._runs[signature](tensors)
            return {name: output.numpy() for name, output in sorted(outputs.items())}
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code or Code.UNKNOWN), _reason(error)) from None
        except (TypeError, ValueError) as error:  # the wrong shape for the signature
            raise invalid(" ".join(str(error).split())) from None


def direct_run(function: Any) -> Run:
    """A signature's graph, called without the public call's matching of arguments.

    That takes 80 us in Python at every call. Where a TensorFlow lacks these parts of its insides,
    the public call does the same.
    """
    try:
        call_flat = function._inference_function.call_flat
        input_names = list(function._arg_keywords)
        captured = list(function.captured_inputs)
        output_names = sorted(function.structured_outputs)  # the order of flattened outputs
    except (AttributeError, TypeError):
        return lambda tensors: dict(function(**tensors))

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        inputs = [tensors[name] for name in input_names]
        return dict(zip(output_names, call_flat(*inputs, *captured), strict=True))

    return run


def _reason(error: Any) -> str:
    """What TensorFlow Serving would say: the runtime's message, without Python's part around it."""
    return str(error.message).rpartition("<stack traces unavailable>\n")[2]


def load_model(folder: ModelFolder, settings: Settings) -> Model:
    """Load a model after setting the runtime's thread pools, which cannot change later.

    Raises:
        StartError: the folder holds no model that can be served.
    """
    # Set before the import, which prints; TensorFlow's own chatter is not this server's log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if settings.intra_op_threads:
        tf.config.threading.set_intra_op_parallelism_threads(settings.intra_op_threads)
    if settings.inter_op_threads:
        tf.config.threading.set_inter_op_parallelism_threads(settings.inter_op_threads)
    definitions = read_definitions(folder.path)
    try:
        loaded = tf.saved_model.load(str(folder.path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        raise StartError(f"cannot load {folder.path}: {reason}; export the model again") from None
    functions = dict(getattr(loaded, "signatures", {}))
    if not functions:
        raise StartError(
            f"{folder.path} has no signatures: pass signatures= to tf.saved_model.save"
        )
    return Model(
        folder,
        loaded,
        signatures={name: signature_of(definitions[name]) for name in definitions},
        metadata={name: metadata_of(definitions[name]) for name in sorted(definitions)},
        definitions={name: definitions[name].SerializeToString() for name in definitions},
        functions=functions,
    )

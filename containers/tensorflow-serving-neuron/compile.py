"""Compile a SavedModel for Inferentia; runs where AWS's Neuron packages are installed.

    python compile.py SAVED_MODEL_DIR OUT_DIR [--batch-size 1] [--chip inf2|inf1]

Writes OUT_DIR/1, which TensorFlow Serving's Neuron build serves. Inf2 wants a signature of dense
tensors of a fixed shape, such as ResNet50's `float_tensor`: JPEG decoding stays on the CPU.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Compile; 2 where the packages are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the folder with saved_model.pb")
    parser.add_argument("out", type=Path)
    parser.add_argument("--signature", default="float_tensor", help="%(default)s")
    parser.add_argument("--batch-size", type=int, default=1, help="%(default)s")
    parser.add_argument("--chip", choices=("inf2", "inf1"), default="inf2", help="%(default)s")
    options = parser.parse_args()
    try:
        (_for_inf2 if options.chip == "inf2" else _for_inf1)(options)
    except ImportError as error:
        print(f"compile.py: {error}; run it in an AWS Neuron environment", file=sys.stderr)
        return 2
    return 0


def _for_inf2(options: argparse.Namespace) -> None:
    import tensorflow as tf
    import tensorflow_neuronx as tfnx

    model = tf.saved_model.load(str(options.model))
    function = model.signatures[options.signature]
    [(name, spec)] = function.structured_input_signature[1].items()
    example = tf.zeros([options.batch_size, *spec.shape[1:]], spec.dtype)

    def serve(value: Any) -> Any:
        return function(**{name: value})

    tfnx.trace(tf.function(serve), example).save(str(options.out / "1"))


def _for_inf1(options: argparse.Namespace) -> None:
    import tensorflow.neuron as tfn

    tfn.saved_model.compile(
        str(options.model),
        str(options.out / "1"),
        batch_size=options.batch_size,
        dynamic_batch_size=True,
        compiler_args=["--neuroncore-pipeline-cores", "1"],
    )


if __name__ == "__main__":
    sys.exit(main())

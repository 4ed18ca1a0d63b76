"""Builds the tests' small models: `python models.py FOLDER`. Run apart, for its TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

LARGEST_BATCH = 16


class Tiny(tf.Module):
    """Numbers in several shapes, and what batch sizes the model has met."""

    def __init__(self) -> None:
        super().__init__()
        self.met = tf.Variable(tf.zeros([LARGEST_BATCH], tf.int32))

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def double(self, x: Any) -> dict[str, Any]:
        return {"y": 2.0 * x}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def count_rows(self, x: Any) -> dict[str, Any]:
        """The size of the batch that each row ran in."""
        rows = tf.shape(x)[0]
        with tf.control_dependencies([self.met.scatter_nd_add([[rows]], [1])]):
            return {"rows": tf.fill([rows], rows), "total": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.float32, name="x")])
    def sizes_met(self, x: Any) -> dict[str, Any]:
        return {"met": self.met + tf.cast(x * 0.0, tf.int32)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int32, name="b"),
        ]
    )
    def add(self, a: Any, b: Any) -> dict[str, Any]:
        return {"sum": a + tf.cast(b, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 8], tf.float32, name="image")])
    def convolve(self, image: Any) -> dict[str, Any]:
        return {"y": tf.nn.relu(tf.nn.conv2d(image, tf.ones([3, 3, 8, 8]), 1, "SAME"))}


class Echo(tf.Module):
    """Strings in, their length and themselves out."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="content")])
    def echo(self, content: Any) -> dict[str, Any]:
        return {
            "length": tf.strings.length(content),
            "content_bytes": content,
        }


def main(folder: Path) -> None:
    """FOLDER/tiny/{1,3} and FOLDER/echo/1."""
    tiny = Tiny()
    signatures = {
        "serving_default": tiny.double,
        "count_rows": tiny.count_rows,
        "sizes_met": tiny.sizes_met,
        "add": tiny.add,
        "convolve": tiny.convolve,
    }
    for version in ("1", "3"):
        tf.saved_model.save(tiny, str(folder / "tiny" / version), signatures=signatures)
    echo = Echo()
    tf.saved_model.save(echo, str(folder / "echo" / "1"), signatures={"serving_default": echo.echo})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

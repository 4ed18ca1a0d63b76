"""The rival of server_overhead.py, and the maker of its small model; each in its own process.

python benchmarks/bare_loop.py loop MODEL_DIR INPUT BODIES_DIR   # counts in, seconds out
python benchmarks/bare_loop.py build MODEL_DIR
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import, which prints

import tensorflow as tf

WIDTH = 256
WANTED_MS = 1.0


def loop(model_dir: Path, name: str, bodies_dir: Path) -> None:
    """For each count on standard input: that many calls, their seconds as a line of JSON."""
    function = tf.saved_model.load(str(model_dir / "1")).signatures["serving_default"]
    files = sorted(bodies_dir.iterdir())
    values: list[Any] = [[file.read_bytes()] for file in files] or [[[0.5] * 8]]
    for line in sys.stdin:
        seconds = []
        for value, _ in zip(cycle(values), range(int(line)), strict=False):
            began_s = time.perf_counter()
            outputs = function(**{name: tf.constant(value)})
            for output in outputs.values():
                output.numpy()
            seconds.append(time.perf_counter() - began_s)
        print(json.dumps(seconds), flush=True)


def build(model_dir: Path) -> None:
    """A chain of matrix products as long as takes about 1 ms here."""
    few = 4
    steps = max(1, round(few * WANTED_MS / _median_ms(_chain(few))))
    module = tf.Module()
    module.chain = _chain(steps)
    tf.saved_model.save(module, str(model_dir / "1"), signatures=module.chain)


def _chain(steps: int) -> Any:
    weights = tf.constant(tf.linalg.qr(tf.random.normal([WIDTH, WIDTH]))[0])

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="x")])
    def chain(x: Any) -> dict[str, Any]:
        state = weights * tf.reduce_sum(x)
        for _ in range(steps):
            state = tf.matmul(state, weights)
        return {"y": tf.reduce_sum(state) + x[:, 0]}

    return chain


def _median_ms(function: Callable[[Any], Any]) -> float:
    row = tf.constant([[0.5] * 8])
    times_s = []
    for _ in range(200):
        began_s = time.perf_counter()
        function(row)["y"].numpy()
        times_s.append(time.perf_counter() - began_s)
    return 1000 * statistics.median(times_s[100:])


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    if what == "build":
        build(Path(paths[0]))
    else:
        loop(Path(paths[0]), paths[1], Path(paths[2]))

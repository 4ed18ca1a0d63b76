"""The model in memory: the quick way to run it gives what TensorFlow's public call gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .serving import SERVE, environment

# In a process of its own: TensorFlow is not to be loaded into the one that runs the tests.
COMPARE = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from savedmodel_server.model import direct_run

functions = tf.saved_model.load(sys.argv[1]).signatures
x = np.array([[1.0, 2.5], [3.0, 4.0]], np.float32)
inputs = {
    "serving_default": {"x": x},
    "count_rows": {"x": x},
    "add": {"b": np.array([1, 2], np.int32), "a": np.array([0.5, 1.5], np.float32)},
    "convolve": {"image": np.ones((2, 16, 16, 8), np.float32)},
    "sizes_met": {"x": np.zeros(1, np.float32)},
}
same = {}
for name, function in functions.items():
    tensors = {key: tf.constant(value) for key, value in inputs[name].items()}
    public = function(**tensors)
    ours = direct_run(function)(tensors)
    plain = direct_run(lambda **tensors: function(**tensors))(tensors)
    same[name] = [
        got.keys() == public.keys()
        and all(np.array_equal(got[key], public[key]) for key in public)
        for got in (ours, plain)
    ]
print(json.dumps(same))
"""


@pytest.mark.tensorflow
@pytest.mark.shared_cpus
def test_the_direct_run_of_a_signature_gives_what_the_public_call_gives(models: Path):
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(models / "tiny" / "3")],
        env=environment(PYTHONPATH=str(SERVE.parent), TF_CPP_MIN_LOG_LEVEL="3"),
        capture_output=True,
        text=True,
        check=True,
    )
    same = json.loads(done.stdout)
    assert len(same) == 5
    assert all(value == [True, True] for value in same.values()), same

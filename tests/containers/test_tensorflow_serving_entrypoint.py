"""TensorFlow Serving's entry point, run against a stand-in that says how it was started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "containers" / "tensorflow-serving" / "entrypoint.sh"
STAND_IN = '#!/bin/sh\necho "pid $$"\nfor word in "$@"; do echo "$word"; done\n'

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Run the script with a model folder as given, and variables."""
    server = tmp_path / "bin" / "tensorflow_model_server"
    server.parent.mkdir()
    server.write_text(STAND_IN)
    server.chmod(0o755)

    def run(*arguments: str, model: str = "resnet50/1", **variables: str):
        (tmp_path / "model" / model).mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": f"{server.parent}:{os.environ['PATH']}",
            "MODEL_BASE_PATH": str(tmp_path / "model"),
            "TMPDIR": str(tmp_path),
            **variables,
        }
        return subprocess.run(
            ["/bin/sh", str(SCRIPT), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    return run


def words(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1:]


def test_the_server_is_process_one_of_its_container(tmp_path: Path, start: Start):
    (tmp_path / "model" / "m" / "1").mkdir(parents=True)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "MODEL_BASE_PATH": str(tmp_path / "model"),
    }
    with subprocess.Popen(
        ["/bin/sh", str(SCRIPT)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"pid {process.pid}"
        process.communicate()


def test_without_variables_nothing_is_tuned(tmp_path: Path, start: Start):
    assert words(start()) == [
        "--port=8500",
        "--rest_api_port=8501",
        "--model_name=resnet50",
        f"--model_base_path={tmp_path}/model/resnet50",
        "--max_num_load_retries=0",
        "--file_system_poll_wait_seconds=0",
        "--enable_grpc_healthcheck_service=true",
    ]


def test_a_folder_of_versions_is_a_model_itself(tmp_path: Path, start: Start):
    found = words(start(model="7"))
    assert "--model_name=model" in found
    assert f"--model_base_path={tmp_path}/model" in found


def test_of_several_models_the_named_one_is_served(tmp_path: Path, start: Start):
    (tmp_path / "model" / "other" / "1").mkdir(parents=True)
    assert f"--model_base_path={tmp_path}/model/resnet50" in words(start(MODEL_NAME="resnet50"))
    assert f"--model_base_path={tmp_path}/model/other" in words(start(MODEL_NAME="other"))


@pytest.mark.parametrize(
    ("variable", "value", "flag"),
    [
        ("TF_SERVING_INTRA_OP_PARALLELISM", "2", "--tensorflow_intra_op_parallelism=2"),
        ("TF_SERVING_INTER_OP_PARALLELISM", "3", "--tensorflow_inter_op_parallelism=3"),
        ("TF_SERVING_REST_THREADS", "9", "--rest_api_num_threads=9"),
        ("TF_SERVING_GPU_MEMORY_FRACTION", "0.5", "--per_process_gpu_memory_fraction=0.5"),
        ("TF_SERVING_REST_PORT", "9001", "--rest_api_port=9001"),
    ],
)
def test_a_variable_becomes_its_flag(start: Start, variable: str, value: str, flag: str):
    assert flag in words(start(**{variable: value}))


def test_batching_has_a_file_of_its_own(tmp_path: Path, start: Start):
    found = words(
        start(
            TF_SERVING_ENABLE_BATCHING="true",
            TF_SERVING_MAX_BATCH_SIZE="16",
            TF_SERVING_NUM_BATCH_THREADS="4",
            TF_SERVING_MAX_ENQUEUED_BATCHES="100",
            TF_SERVING_ALLOWED_BATCH_SIZES="1,8,16",
        )
    )
    assert found[-2:] == [
        "--enable_batching=true",
        f"--batching_parameters_file={tmp_path}/batching.config",
    ]
    assert (tmp_path / "batching.config").read_text().splitlines() == [
        "max_batch_size { value: 16 }",
        "batch_timeout_micros { value: 1000 }",
        "num_batch_threads { value: 4 }",
        "max_enqueued_batches { value: 100 }",
        "allowed_batch_sizes: 1",
        "allowed_batch_sizes: 8",
        "allowed_batch_sizes: 16",
    ]


def test_batch_threads_are_as_many_as_the_cpus_it_may_use(tmp_path: Path, start: Start):
    words(start(TF_SERVING_ENABLE_BATCHING="true"))
    cpus = len(os.sched_getaffinity(0))
    assert f"num_batch_threads {{ value: {cpus} }}" in (tmp_path / "batching.config").read_text()


def test_further_arguments_reach_the_server(start: Start):
    assert "--tensorflow_session_parallelism=1" in words(
        start("--tensorflow_session_parallelism=1")
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TF_SERVING_MAX_BATCH_SIZE": "big", "TF_SERVING_ENABLE_BATCHING": "true"}, "'big'"),
        ({"TF_SERVING_NUM_BATCH_THREADS": "1.5", "TF_SERVING_ENABLE_BATCHING": "true"}, "'1.5'"),
        ({"TF_SERVING_REST_PORT": "http"}, "TF_SERVING_REST_PORT is 'http'"),
        ({"TF_SERVING_INTRA_OP_PARALLELISM": "-1"}, "TF_SERVING_INTRA_OP_PARALLELISM is '-1'"),
        ({"TF_SERVING_ENABLE_BATCHING": "yes"}, "give true or false"),
        ({"TF_SERVING_GPU_MEMORY_FRACTION": "half"}, "give 0.01 to 1"),
        ({"MODEL_NAME": "absent"}, "no model in"),
    ],
)
def test_a_value_that_means_nothing_ends_the_start_with_one_line(start: Start, variables, said):
    done = start(**variables)
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1

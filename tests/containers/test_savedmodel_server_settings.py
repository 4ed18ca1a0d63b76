"""What the command line and the environment choose, and where the model lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from savedmodel_server.errors import StartError
from savedmodel_server.layout import find_model
from savedmodel_server.settings import Batching, Settings, read


def test_nothing_chosen_leaves_the_threads_to_tensorflow():
    assert read([], {}, cpus=4) == Settings(cpus=4)
    assert Settings().port == 8080
    assert Settings().model_dir == Path("/opt/ml/model")
    assert Settings().host == "127.0.0.1"


def test_arguments_win_over_the_environment():
    environment = {"SAGEMAKER_BIND_TO_PORT": "9000", "SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "a"}
    settings = read(["serve", "--port", "9001", "--model-name", "b"], environment, cpus=1)
    assert (settings.port, settings.model_name) == (9001, "b")
    assert read(["serve"], environment, cpus=1).port == 9000


@pytest.mark.parametrize(
    ("environment", "intra_op", "inter_op"),
    [
        ({"OMP_NUM_THREADS": "2"}, 2, 0),
        ({"OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "3"}, 3, 0),
        ({"TF_NUM_INTRAOP_THREADS": "3", "SAGEMAKER_TFS_INTRA_OP_PARALLELISM": "4"}, 4, 0),
        ({"OMP_NUM_THREADS": "2", "SAGEMAKER_TFS_INTRA_OP_PARALLELISM": "0"}, 2, 0),
        ({"TF_NUM_INTEROP_THREADS": "5"}, 0, 5),
        ({"TF_NUM_INTEROP_THREADS": "5", "SAGEMAKER_TFS_INTER_OP_PARALLELISM": "6"}, 0, 6),
    ],
)
def test_the_most_specific_thread_count_above_zero_wins(environment, intra_op, inter_op):
    settings = read([], environment, cpus=1)
    assert (settings.intra_op_threads, settings.inter_op_threads) == (intra_op, inter_op)


def test_batching_is_off_unless_switched_on():
    sizes = {"SAGEMAKER_TFS_MAX_BATCH_SIZE": "4", "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS": "500"}
    assert read([], sizes, cpus=1).batching is None
    on = {"SAGEMAKER_TFS_ENABLE_BATCHING": "true"}
    assert read([], on, cpus=1).batching == Batching(8, 0.001)
    assert read([], {**on, **sizes}, cpus=1).batching == Batching(4, 0.0005)


def test_all_meaningless_variables_are_named_at_once():
    environment = {
        "SAGEMAKER_TFS_INSTANCE_COUNT": "0",
        "OMP_NUM_THREADS": "two",
        "TF_NUM_INTEROP_THREADS": "1_0",
        "SAGEMAKER_TFS_ENABLE_BATCHING": "1",
        "SAGEMAKER_BIND_TO_PORT": "70000",
    }
    with pytest.raises(StartError) as refused:
        read([], environment, cpus=1)
    assert all(name in str(refused.value) for name in environment)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cpus", "instances", "concurrency"), [(1, 1, 1), (4, 1, 4), (4, 2, 2), (2, 3, 1)]
)
def test_runs_at_once_are_one_per_cpu_over_all_processes(cpus, instances, concurrency):
    environment = {"SAGEMAKER_TFS_INSTANCE_COUNT": str(instances)}
    assert read([], environment, cpus=cpus).concurrency == concurrency


def make_model(folder: Path, *parts: str) -> Path:
    version = folder.joinpath(*parts)
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    return version


def test_the_highest_version_of_a_named_model_is_found(tmp_path: Path):
    make_model(tmp_path, "half", "9")
    best = make_model(tmp_path, "half", "10")
    make_model(tmp_path, "half", "no-version")
    found = find_model(tmp_path)
    assert (found.name, found.version, found.path, found.script) == ("half", 10, best, None)


def test_versions_may_lie_in_the_folder_itself(tmp_path: Path):
    make_model(tmp_path, "2")
    found = find_model(tmp_path, "mine")
    assert (found.name, found.version) == ("mine", 2)


def test_a_script_beside_the_model_is_found(tmp_path: Path):
    make_model(tmp_path, "model", "1")
    (tmp_path / "code").mkdir()
    script = tmp_path / "code" / "inference.py"
    script.touch()
    assert find_model(tmp_path).script == script


def test_of_several_models_one_must_be_named(tmp_path: Path):
    make_model(tmp_path, "a", "1")
    make_model(tmp_path, "b", "1")
    with pytest.raises(StartError, match="several models: choose with --model-name: a, b"):
        find_model(tmp_path)
    assert find_model(tmp_path, "b").name == "b"


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_a_model_is_refused(tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartError, match=r"no model"):
        find_model(tmp_path / name)

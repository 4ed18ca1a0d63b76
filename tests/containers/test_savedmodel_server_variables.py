"""Every variable of the README changes what it says, in a running server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .serving import Server, free_port, serving

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

ROWS = {"signature_name": "count_rows", "instances": [[1.0, 2.0]]}
TIMEOUT_S = 0.5


def threads(server: Server) -> tuple[int, int]:
    """Threads of the process: those without a name of TensorFlow's, and the inter-op pool's.

    The intra-op pool's have no name; but nothing else in the process depends on its size.
    """
    folder = Path(f"/proc/{server.process.pid}/task")
    names = [(task / "comm").read_text().strip() for task in folder.iterdir()]
    inter = sum(name == "tf_Compute" for name in names)
    return sum(not name.startswith("tf_") for name in names), inter


@pytest.fixture(scope="module")
def other_threads(models: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many threads there are besides the two pools."""
    log = tmp_path_factory.mktemp("two") / "log"
    with serving(models, log, "--model-name", "tiny", OMP_NUM_THREADS="2") as server:
        return threads(server)[0] - 2


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("variables", "intra", "inter"),
    [
        ({"OMP_NUM_THREADS": "3", "TF_NUM_INTEROP_THREADS": "4"}, 3, 4),
        (
            {
                "OMP_NUM_THREADS": "3",
                "TF_NUM_INTRAOP_THREADS": "5",
                "TF_NUM_INTEROP_THREADS": "4",
                "SAGEMAKER_TFS_INTER_OP_PARALLELISM": "6",
            },
            5,
            6,
        ),
        (
            {
                "OMP_NUM_THREADS": "3",
                "TF_NUM_INTRAOP_THREADS": "5",
                "SAGEMAKER_TFS_INTRA_OP_PARALLELISM": "7",
                "SAGEMAKER_TFS_INTER_OP_PARALLELISM": "3",
            },
            7,
            3,
        ),
    ],
    ids=["omp", "tensorflow", "sagemaker"],
)
def test_the_most_specific_variable_sizes_the_runtimes_thread_pools(
    models: Path, tmp_path: Path, other_threads: int, variables: dict[str, str], intra, inter
):
    with serving(models, tmp_path / "log", "--model-name", "tiny", **variables) as server:
        unnamed, computing = threads(server)
        assert (unnamed - other_threads, computing) == (intra, inter)
        stats = server.get("/stats").document
        assert (stats["intra_op_threads"], stats["inter_op_threads"]) == (intra, inter)


@pytest.mark.shared_cpus
@pytest.mark.parametrize("switch", ["0", "1"])
def test_tf_enable_onednn_opts_decides_whose_convolutions_run(
    models: Path, tmp_path: Path, switch: str
):
    log = tmp_path / "log"
    variables = {"TF_ENABLE_ONEDNN_OPTS": switch, "ONEDNN_VERBOSE": "1"}
    with serving(models, log, "--model-name", "tiny", **variables) as server:
        image = [[[[1.0] * 8] * 16] * 16]
        body = {"signature_name": "convolve", "instances": image}
        assert server.post("/v1/models/tiny:predict", body).status == 200
    ran_onednn = re.search(r"^onednn_verbose.*exec,cpu,convolution", log.read_text(), re.MULTILINE)
    assert bool(ran_onednn) == (switch == "1")


@pytest.fixture(scope="module")
def batching(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Batches of up to 4 rows that wait for half a second."""
    log = tmp_path_factory.mktemp("batching") / "log"
    variables = {
        "SAGEMAKER_TFS_ENABLE_BATCHING": "true",
        "SAGEMAKER_TFS_MAX_BATCH_SIZE": "4",
        "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS": str(round(TIMEOUT_S * 1e6)),
    }
    with serving(models, log, "--model-name", "tiny", **variables) as server:
        yield server


def batch_sizes(server: Server, count: int) -> tuple[list[int], float]:
    """The sizes of the batches that concurrent requests ran in, and the seconds of all."""
    began_s = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        answers = pool.map(lambda _: server.post("/v1/models/tiny:predict", ROWS), range(count))
        sizes = [answer.document["predictions"][0]["rows"] for answer in answers]
    return sizes, time.monotonic() - began_s


def test_with_batching_a_full_batch_runs_at_once(batching: Server):
    sizes, took_s = batch_sizes(batching, 4)
    assert sizes == [4, 4, 4, 4]
    assert took_s < TIMEOUT_S


def test_with_batching_a_lone_request_waits_for_the_timeout(batching: Server):
    sizes, took_s = batch_sizes(batching, 1)
    assert sizes == [1]
    assert TIMEOUT_S <= took_s < 2 * TIMEOUT_S


def test_with_batching_every_request_gets_its_own_rows(batching: Server):
    def ask(number: int) -> float:
        body = {"signature_name": "count_rows", "instances": [[number, 0.5]]}
        answer = batching.post("/v1/models/tiny:predict", body)
        total: float = answer.document["predictions"][0]["total"]
        return total

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == [number + 0.5 for number in range(12)]


def test_with_batching_more_rows_than_the_largest_batch_are_refused(batching: Server):
    body = {"signature_name": "count_rows", "instances": [[1.0, 2.0]] * 5}
    answer = batching.post("/v1/models/tiny:predict", body)
    assert answer.status == 400
    assert "Task size 5 is larger than maximum input batch size 4" in answer.document["error"]


@pytest.mark.shared_cpus
def test_without_batching_concurrent_requests_run_one_by_one(tiny: Server):
    assert batch_sizes(tiny, 4)[0] == [1, 1, 1, 1]


def test_every_batch_size_was_run_before_the_first_ping(models: Path, tmp_path: Path):
    variables = {
        "SAGEMAKER_TFS_ENABLE_BATCHING": "true",
        "SAGEMAKER_TFS_MAX_BATCH_SIZE": "3",
        "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS": "0",
    }
    with serving(models, tmp_path / "log", "--model-name", "tiny", **variables) as server:
        body = {"signature_name": "sizes_met", "inputs": [0.0]}
        began_s = time.monotonic()
        met = server.post("/v1/models/tiny:predict", body).document["outputs"]
        assert time.monotonic() - began_s < TIMEOUT_S
        assert [bool(count) for count in met[:5]] == [False, True, True, True, False]


@pytest.mark.shared_cpus
def test_the_name_and_the_port_can_come_from_the_environment(models: Path, tmp_path: Path):
    variables = {
        "SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "echo",
        "SAGEMAKER_BIND_TO_PORT": str(free_port()),
    }
    with serving(models, tmp_path / "log", **variables) as server:
        assert server.get("/v1/models/echo").status == 200

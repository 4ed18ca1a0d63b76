"""What the command line and the environment ask for, as values. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from savedmodel_server.errors import StartError

DEFAULT_PORT = 8080
DEFAULT_MODEL_DIR = "/opt/ml/model"
GRPC_PORT = "TF_SERVING_GRPC_PORT"

# The most specific name first: the first that is set to more than 0 wins.
INTRA_OP = ("SAGEMAKER_TFS_INTRA_OP_PARALLELISM", "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
INTER_OP = ("SAGEMAKER_TFS_INTER_OP_PARALLELISM", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Batching:
    """How requests are joined into one run of the model."""

    max_batch_size: int = 8
    timeout_s: float = 0.001


@dataclass(frozen=True)
class Settings:
    """Everything that may be chosen. Thread counts of 0 leave the choice to TensorFlow."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    grpc_port: int | None = None
    model_dir: Path = Path(DEFAULT_MODEL_DIR)
    model_name: str | None = None
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    batching: Batching | None = None
    instance_count: int = 1
    cpus: int = 1

    @property
    def concurrency(self) -> int:
        """How many runs of the model one process does at once.

        Over all processes one per schedulable CPU: more would only make each of them slower.
        """
        return -(-self.cpus // self.instance_count)


def read(arguments: Sequence[str], environment: Mapping[str, str], cpus: int) -> Settings:
    """Settings from the command line, else the environment, else the defaults.

    Raises:
        StartError: a variable has a value that means nothing; all such are named at once.
    """
    variables = _Variables(environment)
    settings = Settings(
        port=variables.whole("SAGEMAKER_BIND_TO_PORT", DEFAULT_PORT, most=65535),
        grpc_port=variables.whole(GRPC_PORT, 0, most=65535) if environment.get(GRPC_PORT) else None,
        model_name=environment.get("SAGEMAKER_TFS_DEFAULT_MODEL_NAME") or None,
        intra_op_threads=variables.first_positive(INTRA_OP),
        inter_op_threads=variables.first_positive(INTER_OP),
        batching=variables.batching(),
        instance_count=variables.whole("SAGEMAKER_TFS_INSTANCE_COUNT", 1, least=1),
        cpus=cpus,
    )
    if variables.problems:
        raise StartError("; ".join(variables.problems))
    return _with_arguments(settings, arguments)


def _with_arguments(settings: Settings, arguments: Sequence[str]) -> Settings:
    parser = argparse.ArgumentParser(
        prog="serve.py", description="Serve one SavedModel: SageMaker contract, TFS REST, gRPC."
    )
    # The SageMaker convention starts an image as `IMAGE serve`.
    parser.add_argument("verb", nargs="?", choices=["serve"], help=argparse.SUPPRESS)
    parser.add_argument("--host", default=settings.host, help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=settings.port, help="0: any free one (%(default)s)"
    )
    parser.add_argument(
        "--grpc-port", type=int, default=settings.grpc_port, help="0: any free one; default: none"
    )
    parser.add_argument(
        "--model-dir", type=Path, default=settings.model_dir, help="what a model archive unpacks to"
    )
    parser.add_argument("--model-name", default=settings.model_name, help="default: its folder's")
    parsed = parser.parse_args(arguments)
    for option, port in (("--port", parsed.port), ("--grpc-port", parsed.grpc_port)):
        if port is not None and not 0 <= port <= 65535:
            parser.error(f"{option} is {port}: give a number from 0 to 65535")
    named = {name: value for name, value in vars(parsed).items() if name != "verb"}
    return Settings(**{**vars(settings), **named})


class _Variables:
    """Reads numbers and switches, and gathers what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def whole(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        # Not int(): it also takes "1_000", "+4" and other scripts' digits.
        if text.isascii() and text.isdigit() and least <= int(text) <= (most or int(text)):
            return int(text)
        bounds = f"from {least} to {most}" if most else f"of at least {least}"
        self.problems.append(f"{name} is {text!r}: give a whole number {bounds}, or unset it")
        return default

    def first_positive(self, names: Sequence[str]) -> int:
        """The first that is set; 0 counts as not set, as it does for TensorFlow."""
        values = [self.whole(name, 0) for name in names]
        return next((value for value in values if value), 0)

    def batching(self) -> Batching | None:
        defaults = Batching()
        size = self.whole("SAGEMAKER_TFS_MAX_BATCH_SIZE", defaults.max_batch_size, least=1)
        timeout_us = self.whole(
            "SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS", round(defaults.timeout_s * 1e6)
        )
        name = "SAGEMAKER_TFS_ENABLE_BATCHING"
        text = self._environment.get(name, "").strip()
        if text.lower() not in ("", "true", "false"):
            self.problems.append(f"{name} is {text!r}: give 'true' or 'false', or unset it")
        return Batching(size, timeout_us / 1e6) if text.lower() == "true" else None

"""Models built once, servers that several tests share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .serving import ROOT, Server, environment, serving

sys.path.insert(0, str(ROOT / "containers" / "savedmodel-server"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models `tiny` and `echo`."""
    folder = tmp_path_factory.mktemp("models")
    builder = Path(__file__).with_name("models.py")
    subprocess.run(
        [sys.executable, str(builder), str(folder)],
        check=True,
        env=environment(TF_CPP_MIN_LOG_LEVEL="3"),
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def tiny(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`tiny` under no variables at all."""
    log = tmp_path_factory.mktemp("tiny") / "log"
    with serving(models, log, "--model-name", "tiny") as server:
        yield server


@pytest.fixture(scope="session")
def echo(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`echo`, whose default signature takes bytes."""
    log = tmp_path_factory.mktemp("echo") / "log"
    with serving(models / "echo", log) as server:
        yield server

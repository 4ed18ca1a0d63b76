"""A queue of jobs as `rightsizer serve` has it: real workers and small real model servers."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from rightsizer.api.context import Context
from rightsizer.api.settings import ImageSpec, Settings
from rightsizer.api.supervisor import Supervisor
from rightsizer.errors import TrialState
from rightsizer.hosts.probe import this_machine

from tests.api.calls import Api
from tests.api.jobs.requests import CONTAINER_CONFIG, advanced, context_in, phases, threads

SERVER = Path(__file__).parent / "servers" / "model_server.py"
KINDS = ("ok", "broken", "never")
HOSTS = """\
hosts:
  - name: here
    kind: process
    provides:
      - {instance_type: ml.c5.xlarge, as: stand-in, cpus: 1, memory_gib: 1}
"""
TIME_SCALE = 0.02
SHORT = phases({"InitialNumberOfUsers": 2, "SpawnRate": 0, "DurationInSeconds": 120})
LONG = phases({"InitialNumberOfUsers": 2, "SpawnRate": 0, "DurationInSeconds": 3600})
"""72 s: a test ends it."""
ENDED = ("COMPLETED", "FAILED", "STOPPED")


@dataclass
class Queue:
    """A folder with a store, and a queue over it while `running`."""

    folder: Path
    context: Context

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        return Api(self.context)(operation, **request)

    def create(self, name: str, how: str = "ok", values: tuple[str, ...] = ("1",), **more: Any):
        """An Advanced job of a model of its own, whose server is as `how` says."""
        model = {"Image": f"image/{how}", **more.pop("model", {})}
        self("CreateModel", ModelName=f"m-{name}", PrimaryContainer=model)
        url = more.pop("payload", f"file://{self.folder}/files/payload.tar.gz")
        payload = {"SamplePayloadUrl": url, "SupportedContentTypes": ["text/plain"]}
        config = {
            "ModelName": f"m-{name}",
            "ContainerConfig": {**CONTAINER_CONFIG, "PayloadConfig": payload},
            "EndpointConfigurations": [threads(*values)],
            "TrafficPattern": SHORT,
            **more,
        }
        self("CreateInferenceRecommendationsJob", **advanced(name, **config))

    def describe(self, name: str) -> dict[str, Any]:
        return self("DescribeInferenceRecommendationsJob", JobName=name)

    def status(self, name: str) -> str:
        return self.describe(name)["Status"]

    def ended(self, name: str, within_s: float = 60.0) -> dict[str, Any]:
        """How a job has ended."""
        return self.until(name, *ENDED, within_s=within_s)

    def is_measured(self, name: str) -> bool:
        """Whether it was measured to its end, once it has ended: the machine may have spoilt what
        it found."""
        status = self.ended(name)["Status"]
        states = {trial.state for trial in self.trials(name)}
        spoilt = status == "FAILED" and states == {TrialState.INVALID}
        return status == "COMPLETED" or spoilt

    def stop(self, name: str) -> None:
        self("StopInferenceRecommendationsJob", JobName=name)

    def until(self, name: str, *wanted: str, within_s: float = 30.0) -> dict[str, Any]:
        """A job's description once its status is one of those."""
        said: dict[str, Any] = {}

        def is_there() -> bool:
            said.update(self.describe(name))
            return said["Status"] in wanted

        wait_for(is_there, within_s, lambda: f"{said} {self.log(name)}")
        return said

    def id_of(self, name: str) -> str:
        return self.context.store.find(name).id

    def job_dir(self, name: str) -> Path:
        return self.context.store.job_dir(self.id_of(name))

    def log(self, name: str) -> str:
        path = self.job_dir(name) / "worker.log"
        return path.read_text() if path.exists() else ""

    def trials(self, name: str):
        return self.context.store.trials(self.id_of(name))

    def requests(self) -> list[str]:
        """The ids of the requests that model servers have counted, probes left out."""
        path = self.folder / "count.txt"
        lines = path.read_text().split() if path.exists() else []
        return [line for line in lines if line != "-"]

    def wait_for_traffic(self, more: int = 20) -> None:
        wanted = len(self.requests()) + more
        wait_for(lambda: len(self.requests()) >= wanted, 30.0, lambda: "no traffic came")

    @contextmanager
    def running(self) -> Iterator[None]:
        """The queue goes on, and leaves nothing running."""
        cpus = this_machine().cpus
        supervisor = Supervisor(self.context.store.folder, self.context.settings, cpus, os.environ)
        before, self.context = self.context, replace(self.context, wake=supervisor.wake)
        supervisor.start()
        try:
            yield
        finally:
            supervisor.close()
            self.context = before
        assert not left_running(self.folder, within_s=5.0)


def settings_for(folder: Path, **more: Any) -> Settings:
    """Settings under which `image/ok` and so on are model servers, and their files."""
    (folder / "files").mkdir()
    (folder / "hosts.yaml").write_text(HOSTS)
    (folder / "files" / "payload.tar.gz").write_bytes(archive(a=b"hello", b=b"hello there"))
    rows = tuple(
        ImageSpec(uri=f"image/{how}", command=("{python}", str(SERVER), "{port}", how))
        for how in KINDS
    )
    return Settings(hosts="hosts.yaml", images=rows, folders=("files",), **more)


@contextmanager
def queue_in(folder: Path, **more: Any) -> Iterator[Queue]:
    """A queue that does not run yet; `more` are settings."""
    context = context_in(folder, settings_for(folder, **more), time_scale=TIME_SCALE)
    try:
        yield Queue(folder, context)
    finally:
        context.store.close()


def archive(**files: bytes) -> bytes:
    """A .tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return packed.getvalue()


def wait_for(is_there: Callable[[], bool], within_s: float, said: Callable[[], str]) -> None:
    """Look every tenth of a second."""
    deadline_s = time.monotonic() + within_s
    while not is_there():
        assert time.monotonic() < deadline_s, said()
        time.sleep(0.1)


def started_for(folder: Path) -> list[psutil.Process]:
    """Living processes that belong to a test: by their words, folder or environment."""
    mark, found = str(folder), []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = " ".join([*process.cmdline(), process.cwd()])
            if mark in words or mark in process.environ().get("RIGHTSIZER_STORE", ""):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def left_running(folder: Path, within_s: float) -> list[psutil.Process]:
    """What is still alive when the time is up; empty as soon as nothing is."""
    deadline_s = time.monotonic() + within_s
    while (left := started_for(folder)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return left


def workers_of(folder: Path) -> list[psutil.Process]:
    """Its worker processes."""
    found = []
    for one in started_for(folder):
        with suppress(psutil.Error):  # it has ended since
            if "rightsizer.api.worker" in one.cmdline():
                found.append(one)
    return found

"""Where the checks run: packaged servers on CPUs of their own, driven as any other server is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt

from rightsizer.errors import EnvironmentFault, Reason, StoreError, TrialInvalid, TrialStopped
from rightsizer.hosts.base import Launch, Server
from rightsizer.machines import Placement
from rightsizer.measure_spec import Options
from rightsizer.measured import Measured
from rightsizer.measurement import Endpoints, measure
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, Samples, read_samples
from rightsizer.schedule import Step
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.base import Session
from rightsizer.traffic.records import Health, StepRecord
from rightsizer.units import NS_PER_MS, NS_PER_S

NULL_SERVER = "rightsizer.instrument.null_server"
TRUTH_SERVER = "rightsizer.instrument.truth_server"
SEED = 1
REQUEST_TIMEOUT_S = 10.0
READY_S = 20.0
CONTENT_TYPE = "application/octet-stream"
PASSED_ON = ("PYTHONPATH",)
"""Where this package may have been found."""


@dataclass(frozen=True)
class Driven:
    """One step and what it left."""

    record: StepRecord
    samples: Samples
    """Of what was sent."""
    dropped: int = 0
    """Arrivals that were not: a generator that is late when the step ends owes some."""

    @property
    def length_s(self) -> float:
        """How long requests were let go."""
        return (self.record.end_ns - self.record.begin_ns) / NS_PER_S

    @property
    def latency_ms(self) -> npt.NDArray[np.float64]:
        """From the intended starts, as callers see it."""
        latency: npt.NDArray[np.float64] = (
            self.samples["end_ns"] - self.samples["intended_ns"]
        ) / NS_PER_MS
        return latency

    @property
    def failed(self) -> int:
        """What was sent and became no invocation."""
        return int(np.count_nonzero(self.samples["outcome"] != Outcome.SUCCEEDED))


class Bench:
    """Starts servers, drives them, and ends with the switch."""

    def __init__(
        self, placement: Placement, folder: Path, switch: StopSwitch, through: Endpoints
    ) -> None:
        """What is measured is kept under `folder`, a folder for each server's name."""
        self._placement, self._folder = placement, folder
        self._switch, self._through = switch, through
        self.healths: list[Health] = []
        """How the generator fared in each step so far."""

    def dir(self, name: str) -> Path:
        """The folder of one server, made."""
        path = self._folder / name
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def serving(self, name: str, module: str, *arguments: str) -> Iterator[Server]:
        """Start one of the packaged servers.

        Raises:
            TrialEnded: it could not be started, or the switch was pressed.
        """
        launch = Launch(
            trial_id=name,
            command=("{python}", "-m", module, "{port}", *arguments),
            url=None,
            port=None,
            environment={key: os.environ[key] for key in PASSED_ON if key in os.environ},
            secrets=frozenset(),
            working_dir=self.dir(name),
            model_dir=None,
            ready_path="/",
            ready_timeout_s=READY_S,
            placement=self._placement,
            trial_dir=self.dir(name),
        )
        with self._through.host.start(launch, self.require_wanted) as server:
            yield server

    @contextmanager
    def generator(self, name: str, server: Server, bodies: Sequence[bytes]) -> Iterator[Session]:
        """A generator of POSTs with these bodies, aimed at the server."""
        numbered = [Body(str(i), body, CONTENT_TYPE) for i, body in enumerate(bodies)]
        request = Request("POST", "/", {}, numbered, REQUEST_TIMEOUT_S, ResponseCheck())
        with self._through.traffic.open(
            server.endpoint,
            request,
            seed=SEED,
            trial_dir=self.dir(name),
            owner=server.owner,
            cpus=self._placement.generator_cpus,
        ) as session:
            yield session

    def drive(self, session: Session, step: Step, cut_s: float = 0.0) -> Driven:
        """Drive a step to its end; what began in its first `cut_s` is left out.

        Raises:
            TrialStopped: the switch was pressed; nothing is drained then.
            TrialInvalid: nothing was sent.
        """
        for _ in session.drive(step):
            if self._switch.level():
                session.abandon()
        self.require_wanted()
        record = session.last
        self.healths.append(record.health)
        samples = read_samples(session.sample_files)[: record.committed]
        begin_ns = record.begin_ns + int(cut_s * NS_PER_S)
        samples = samples[(samples["step"] == step.index) & (samples["intended_ns"] >= begin_ns)]
        dropped = samples["outcome"] == Outcome.DROPPED
        if dropped.all():
            raise TrialInvalid(Reason.NO_SAMPLES, f"the generator sent nothing at {step.label}")
        return Driven(record, samples[~dropped], int(np.count_nonzero(dropped)))

    def measure(
        self, name: str, server: Server, body: bytes, **options: Unpack[Options]
    ) -> Measured:
        """The whole pipeline, as `rightsizer measure` runs it.

        Raises:
            TrialStopped: the switch was pressed.
            TrialInvalid: not one step was measured.
            EnvironmentFault: this machine kept it from being measured.
        """
        payload = self.dir(name) / "body"
        with _writing(payload):
            payload.write_bytes(body)
        url = server.endpoint.url
        found = measure(
            url,
            payload,
            store=self.dir(name),
            switch=self._switch,
            through=self._through,
            **options,
        )
        self.require_wanted()
        if found.fault:
            raise EnvironmentFault(found.fault)
        if not found.steps:
            raise TrialInvalid(Reason.NO_SAMPLES, "; ".join(d.message for d in found.doubts))
        return found

    def require_wanted(self) -> None:
        """Raise TrialStopped once the switch is pressed."""
        if self._switch.level():
            raise TrialStopped(self._switch.reason(), "the self-test was stopped")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write {path}", why, "free space or mend it") from None

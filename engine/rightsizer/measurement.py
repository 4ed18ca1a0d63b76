"""Measuring an endpoint that runs already: one trial, without a store.

Nothing is kept but the raw samples, in a fresh folder. No CPU affinity is changed, and no CPUs are
leased: endpoint and generator run where they were started.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from rightsizer import events
from rightsizer.analysis.figures import Doubt
from rightsizer.analysis.steps import count
from rightsizer.candidates import Candidate
from rightsizer.errors import EnvironmentFault, StoreError, TrialState
from rightsizer.hosts.base import Host, Launch
from rightsizer.hosts.process import ProcessHost
from rightsizer.inventory import THIS_MACHINE
from rightsizer.machines import Placement
from rightsizer.measure_spec import Options, headers_of, measurement_spec
from rightsizer.measured import Measured, measured, no_limit, shared_machine
from rightsizer.payloads import load_payloads
from rightsizer.plan import Plan, PlannedTrial
from rightsizer.protocols import Request, ready_path, request_of
from rightsizer.samples import read_samples
from rightsizer.schedule import steps_of
from rightsizer.secrecy import says_secret
from rightsizer.spec import JobSpec, SaturateTraffic, SearchTraffic
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import default_store
from rightsizer.traffic.base import Traffic
from rightsizer.traffic.driver import LocustTraffic, require_cpus
from rightsizer.trial_run import JobContext, Parts, Trial
from rightsizer.trials import TrialRecord

__all__ = ["Endpoints", "headers_of", "measure"]

SECRET_LENGTH = 4
OVERHEAD_S = 3.0
"""Starting the generator, probing and judging, in the expected time."""

OnEvent = Callable[[events.Event], None]


@dataclass(frozen=True)
class Endpoints:
    """How endpoints are reached; the default is the real thing."""

    host: Host
    traffic: Traffic


def measure(
    url: str,
    payload: str | Path,
    *,
    store: str | Path | None = None,
    workers: int = 1,
    on_event: OnEvent | None = None,
    switch: StopSwitch | None = None,
    through: Endpoints | None = None,
    **options: Unpack[Options],
) -> Measured:
    """Measure an endpoint that runs already.

    Once its arguments and payload are accepted it always has a result: an endpoint that cannot be
    reached, or refuses, is a result with verdict `invalid`.

    Args:
        url: the whole address with protocol raw, else the base.
        payload: a `.tar.gz` of request bodies, or any other file as one body.
        store: samples are kept under `measurements` of this folder; RIGHTSIZER_STORE or the user's
            data folder if None.
        workers: generator processes that share the traffic, one CPU each.
        on_event: called with every event while it runs, first a `JobStarted` with the folder.
        switch: ends the measurement early when pressed.
        through: another host and traffic than the real ones (the fakes, in tests).
        options: see `measure_spec.Options`; times in s, limits in ms, rates a minute.

    Raises:
        UsageError: wrong options, or more workers than this process may use CPUs.
        InputError: the payload cannot be read or is refused.
        EnvironmentFault: the samples' folder cannot be made.
    """
    begin_s = time.monotonic()
    spec = measurement_spec(url, payload, options)
    payloads = load_payloads(Path(payload), spec.payload.content_type)
    request = request_of(spec.server, payloads.payloads)
    through = through or Endpoints(ProcessHost(THIS_MACHINE), LocustTraffic(workers))
    planned = _planned(url, through.host.name)
    require_cpus(workers, len(planned.placement.generator_cpus))
    folder = Path(store if store is not None else default_store()).absolute() / "measurements"
    say = on_event or (lambda event: None)
    context = _context(spec, request, planned, folder, through, say, switch or StopSwitch())
    expected_s = context.plan.traffic_s + OVERHEAD_S
    trial = Trial(
        context, planned, 0, 1, 1, 1, lambda in_trial_s: max(0.0, expected_s - in_trial_s)
    )
    _make(trial.dir)
    say(events.JobStarted(planned.id, str(trial.dir), 1, 0, expected_s))
    record, fault = _run(trial)
    result = measured(
        record,
        spec,
        url=url,
        samples=str(trial.dir),
        wall_s=time.monotonic() - begin_s,
        further=_circumstances(record, spec),
    )
    if fault is None:
        return result
    return replace(result, fault=str(fault), doubts=(_faulty(fault), *result.doubts))


def _planned(url: str, host: str) -> PlannedTrial:
    """The one trial, held to the CPUs that this process has: nothing moves."""
    own = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    return PlannedTrial(
        id=f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}",
        candidate=Candidate("endpoint", url, {}),
        host=THIS_MACHINE.model_copy(update={"name": host}),
        placement=Placement((), own, "stand-in", 0),
    )


def _context(
    spec: JobSpec,
    request: Request,
    planned: PlannedTrial,
    folder: Path,
    through: Endpoints,
    say: OnEvent,
    switch: StopSwitch,
) -> JobContext:
    traffic = spec.traffic
    steps = steps_of(traffic)
    decided_s = traffic.budget_s if isinstance(traffic, SaturateTraffic | SearchTraffic) else 0.0
    return JobContext(
        spec=spec,
        plan=Plan((planned,), (), steps, decided_s or sum(step.duration_s for step in steps)),
        request=request,
        # Doubts on CPU sets are for servers that the engine places.
        pinned=True,
        job_dir=folder,
        parts=Parts(
            hosts={planned.host.name: through.host},
            traffic=through.traffic,
            launch=lambda trial, into: _launch(spec, request, trial, into),
            save=lambda record: None,
            say=lambda event: say(_of_an_endpoint(event)),
            control=switch,
        ),
    )


def _of_an_endpoint(event: events.Event) -> events.Event:
    if isinstance(event, events.TrialStarted):
        return replace(event, starts_server=False)
    return event


def _launch(spec: JobSpec, request: Request, trial: PlannedTrial, into: Path) -> Launch:
    server = spec.server
    return Launch(
        trial_id=trial.id,
        command=None,
        url=server.url,
        port=None,
        environment={},
        secrets=_secrets(request.headers),
        working_dir=into,
        model_dir=None,
        ready_path=ready_path(server),
        ready_timeout_s=server.ready_timeout_s,
        placement=trial.placement,
        trial_dir=into,
    )


def _secrets(headers: Mapping[str, str]) -> frozenset[str]:
    """Values that a server may answer, and that nobody is told; of `Bearer X` also X alone."""
    hidden = [value for name, value in headers.items() if says_secret(name)]
    parts = [part for value in hidden for part in (value, value.rpartition(" ")[2])]
    # A shorter one would hide words that tell nothing.
    return frozenset(part for part in parts if len(part) >= SECRET_LENGTH)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        why = error.strerror or str(error)
        todo = "mend it or give another with --store"
        raise StoreError(f"cannot write {folder}", why, todo) from None


def _run(trial: Trial) -> tuple[TrialRecord, EnvironmentFault | None]:
    """The trial's record; where this machine failed it, what there is of it, and the fault."""
    fault = None
    try:
        record = trial.run()
    except EnvironmentFault as error:
        record, fault = replace(trial.record, state=TrialState.INVALID), error
    if not record.steps:
        # A step that was lost left its samples: they tell what was sent.
        files = [path for path in trial.files if path.exists()]
        record = replace(record, requests=count(read_samples(files)["outcome"]))
    return record, fault


def _circumstances(record: TrialRecord, spec: JobSpec) -> tuple[Doubt, ...]:
    found = []
    over_loopback = record.figures and any(d.code == "loopback" for d in record.figures.doubts)
    if over_loopback and _may_use_every_cpu():
        found.append(shared_machine())
    if spec.traffic.type == "search" and spec.limit.latency_ms is None:
        found.append(no_limit())
    return tuple(found)


def _may_use_every_cpu() -> bool:
    """Whether nobody held this process to some of the machine's CPUs."""
    if not hasattr(os, "sched_getaffinity"):
        return True
    return len(os.sched_getaffinity(0)) >= (os.cpu_count() or 1)


def _faulty(fault: EnvironmentFault) -> Doubt:
    what = f"{fault.what}: {fault.why}" if fault.why else fault.what
    return Doubt("environment", "blocks", what, fault.todo)

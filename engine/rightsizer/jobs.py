"""Running, resuming and loading jobs: the real parts put together around the runner."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rightsizer import events
from rightsizer.archives import MODEL_LIMITS, extract
from rightsizer.candidates import shared_variables
from rightsizer.errors import InputError, UsageError
from rightsizer.failures import failure_of
from rightsizer.hosts.base import Host, Launch
from rightsizer.hosts.docker.host import DockerHost
from rightsizer.hosts.process import ProcessHost
from rightsizer.hosts.records import Calibration
from rightsizer.hosts.yardstick import calibrate, length_s
from rightsizer.housekeeping import interrupt_orphans
from rightsizer.loading import assemble
from rightsizer.machines import Placement
from rightsizer.origins import made_on, made_with
from rightsizer.plan import PlannedTrial
from rightsizer.planning import require_runnable
from rightsizer.preparation import Prepared, prepare, prepare_spec, tls_of
from rightsizer.protocols import ready_path
from rightsizer.racing import policy_of
from rightsizer.results import Job
from rightsizer.runner import Runner
from rightsizer.running import running
from rightsizer.spec import JobSpec, SecretRef
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import UNFINISHED, Store, StoredJob, default_store
from rightsizer.traffic.base import Traffic
from rightsizer.traffic.driver import LocustTraffic, require_cpus
from rightsizer.trial_run import JobContext, Parts

LEFT_BEHIND_S = 3600.0
"""How long after a job's time is up its containers may be swept, wherever their owner was."""
PERSIST_PROGRESS_S = 5.0
"""How often a running step's progress goes to the store; every look would cost a disk write."""

OnEvent = Callable[[events.Event], None]


@dataclass(frozen=True)
class Outside:
    """What a run reaches the outside world through; the default is the real thing."""

    hosts: Callable[[Prepared], Mapping[str, Host]]
    traffic: Traffic
    calibrate: Callable[[Placement, float], Calibration | None] = lambda placement, traffic_s: None
    """How fast the server's CPUs are, before so much traffic (s)."""
    leases: bool = True
    """Whether the CPUs of the plan are leased while the job runs."""


def real_outside(workers: int = 1) -> Outside:
    """Process and Docker hosts, and Locust with so many generator processes."""
    return Outside(
        hosts=lambda prepared: {
            option.host.name: _host_of(option) for option in prepared.plan.options
        },
        traffic=LocustTraffic(workers),
        calibrate=_calibrate,
    )


def _calibrate(placement: Placement, traffic_s: float) -> Calibration | None:
    # A far machine, or a server that runs already, has no CPUs of ours to hold a process to.
    if placement.far or not placement.server_cpus:
        return None
    return calibrate(placement.server_cpus, length_s(traffic_s))


def _host_of(trial: PlannedTrial) -> Host:
    # A server at a URL is nobody's to start: whatever the host, only commands run around it.
    return ProcessHost(trial.host) if trial.container is None else DockerHost(trial.host)


def run(
    job_file: str | Path,
    *,
    store: str | Path | None = None,
    workers: int = 1,
    on_event: OnEvent | None = None,
    switch: StopSwitch | None = None,
    outside: Outside | None = None,
) -> Job:
    """Measure the candidates of a job file and recommend.

    Args:
        job_file: a YAML or JSON file as the README describes.
        store: the folder to keep the job in; RIGHTSIZER_STORE or the user's data folder if None.
        workers: generator processes that share the traffic, one CPU each.
        on_event: called with every event while it runs.
        switch: ends the run early when pressed.
        outside: other hosts or traffic than the real ones (the fakes, in tests).

    Raises:
        UsageError: more workers than the generator has CPUs.
        InputError: the job file, or a file it names.
        EnvironmentFault: this machine: no host for any candidate, CPUs leased, store unusable.
    """
    prepared = prepare(Path(job_file))
    require_runnable(prepared.plan)
    require_cpus(workers, prepared.plan.fewest_generator_cpus)
    with Store(Path(store) if store is not None else default_store()) as opened:
        stored = create(opened, prepared, job_file)
        with opened.own(stored.id):
            outside = outside or real_outside(workers)
            return run_owned(opened, stored, prepared, on_event, switch, outside)


def create(
    store: Store, prepared: Prepared, job_file: str | Path, *, is_side: bool = False
) -> StoredJob:
    """A new job in the store, with what `resume` and reports need of its making; `is_side`: of an
    A/B comparison."""
    inputs = inputs_of(prepared, str(Path(job_file).absolute()), is_side=is_side)
    spec = prepared.spec.model_dump(mode="json")
    store.require_writable()
    return store.create_job(prepared.spec.name, prepared.spec.type, spec, inputs)


def inputs_of(prepared: Prepared, job_file: str, *, is_side: bool = False) -> dict[str, Any]:
    """What is kept of a job's making beside its spec."""
    return {
        "job_file": job_file,
        "base_dir": str(prepared.base_dir),
        "digests": dict(prepared.digests),
        "prices": _prices(prepared),
        "versions": made_with(),
        "machine": made_on(prepared.machine),
        "is_side": is_side,
        "choice": None if prepared.choice is None else asdict(prepared.choice),
    }


def resume(
    job: str,
    *,
    store: str | Path | None = None,
    workers: int = 1,
    on_event: OnEvent | None = None,
    switch: StopSwitch | None = None,
    outside: Outside | None = None,
) -> Job:
    """Finish a stored job: keeps succeeded and failed trials, runs the others again.

    Raises:
        UsageError: no such job, a side of an A/B comparison, one of the API whose inputs were never
            fetched or are gone, or more workers than the generator has CPUs.
        InputError: a file the job was started with has changed.
        EnvironmentFault: as for `run`; StoreError where another engine runs it.
    """
    with Store(Path(store) if store is not None else default_store()) as opened:
        stored = opened.find(job)
        if stored.inputs.get("is_side"):
            why = "its trials are worth what they are beside the other job's"
            what = f"{stored.id} is one side of an A/B comparison"
            raise UsageError(what, why, "run `rightsizer ab` again")
        if "digests" not in stored.inputs:
            what = f"{stored.id} has no inputs yet: the API's queue fetches them at its turn"
            raise UsageError(what, "it has not come to it", _todo(opened, stored))
        opened.require_writable()
        base_dir = Path(stored.inputs["base_dir"])
        with opened.own(stored.id):
            spec = JobSpec.model_validate(dict(stored.spec))
            _require_inputs(stored, spec, base_dir)
            prepared = prepare_spec(spec, base_dir)
            refuse_changes(stored, prepared)
            require_runnable(prepared.plan)
            require_cpus(workers, prepared.plan.fewest_generator_cpus)
            opened.request_stop(stored.id, False)
            outside = outside or real_outside(workers)
            return run_owned(opened, stored, prepared, on_event, switch, outside)


def _require_inputs(stored: StoredJob, spec: JobSpec, base_dir: Path) -> None:
    """Raise UsageError where a job of the API has ended and its copy of the model is gone."""
    archive = spec.model.archive
    if stored.inputs.get("sources") and archive and not (base_dir / archive).exists():
        why = "the copy of its model was removed when it ended"
        raise UsageError(f"{stored.id} is done", why, "create a new job")


def _todo(store: Store, stored: StoredJob) -> str:
    if store.status_of(stored) in UNFINISHED:
        return "start `rightsizer serve` with this store, and wait"
    return "create a new job"


def run_owned(
    store: Store,
    stored: StoredJob,
    prepared: Prepared,
    on_event: OnEvent | None,
    switch: StopSwitch | None,
    outside: Outside,
) -> Job:
    """Lease an owned job's CPUs, run it, and say how it ended; raises as `run` does."""
    switch = switch or StopSwitch()
    say = speaker(store, stored.id, on_event)
    limit_s = prepared.spec.limits.duration_s
    with running(
        store,
        [stored.id],
        prepared.plan,
        leases=outside.leases,
        limit_s=limit_s,
        switch=switch,
        say=say,
    ) as deadline_s:
        _measure(store, stored, prepared, outside, switch, say, deadline_s)
        # Before the status says that it has ended: nobody sees the one without the other.
        job = assemble(store, store.job(stored.id))
        why = "" if switch.handed_over else failure_of(job, store.job_dir(stored.id))
        store.set_failure(stored.id, why)
    return assemble(store, store.job(stored.id))


def _measure(
    store: Store,
    stored: StoredJob,
    prepared: Prepared,
    outside: Outside,
    switch: StopSwitch,
    say: OnEvent,
    deadline_s: float,
) -> None:
    job_dir = store.job_dir(stored.id)
    done = interrupt_orphans(store, stored.id)
    model_dir = unpack_model(prepared, job_dir)
    say(
        events.JobStarted(
            job_id=stored.id,
            folder=str(job_dir),
            trials=sum(
                trial.id not in done or not done[trial.id].is_final
                for trial in prepared.plan.trials
            ),
            refused=len(prepared.plan.refused),
            expected_s=prepared.plan.expected_s,
            shared=shared_variables(one.environment for one in prepared.plan.candidates),
        )
    )
    context = context_of(store, stored, prepared, outside, switch, say, model_dir)
    prices = stored.inputs["prices"]
    policy = policy_of(
        prepared.plan, prepared.spec, lambda name: prices.get(name, {}).get("per_hour_usd")
    )
    Runner(context, policy, deadline_s).run(done)


def context_of(
    store: Store,
    stored: StoredJob,
    prepared: Prepared,
    outside: Outside,
    switch: StopSwitch,
    say: OnEvent,
    model_dir: Path | None,
) -> JobContext:
    """What the trials of a stored job share; `model_dir` is its unpacked model."""
    return JobContext(
        spec=prepared.spec,
        plan=prepared.plan,
        request=prepared.request,
        pinned=prepared.machine.can_pin,
        job_dir=store.job_dir(stored.id),
        parts=Parts(
            hosts=outside.hosts(prepared),
            traffic=outside.traffic,
            launch=lambda trial, folder: replace(
                _launch(prepared, trial, folder, model_dir), job_id=stored.id
            ),
            save=lambda record: store.save_trial(stored.id, record),
            say=say,
            control=switch,
            calibrate=outside.calibrate,
        ),
    )


def unpack_model(prepared: Prepared, job_dir: Path) -> Path | None:
    """The job's model in a fresh folder; None where it has none."""
    archive = prepared.spec.model.archive
    if archive is None:
        return None
    into = job_dir / "model"
    shutil.rmtree(into, ignore_errors=True)
    extract(prepared.path(archive), into, MODEL_LIMITS)
    return into


def _launch(
    prepared: Prepared, trial: PlannedTrial, folder: Path, model_dir: Path | None
) -> Launch:
    server = prepared.spec.server
    environment = {
        name: prepared.secrets[name] if isinstance(value, SecretRef) else value
        for name, value in server.environment.items()
    }
    elsewhere = server.url or trial.container
    return Launch(
        trial_id=trial.id,
        command=None if elsewhere else trial.candidate.command or server.command,
        url=server.url,
        port=server.port,
        environment={**environment, **trial.candidate.environment},
        secrets=frozenset(value for value in prepared.secrets.values() if value),
        working_dir=prepared.base_dir,
        model_dir=model_dir,
        ready_path=ready_path(server),
        ready_timeout_s=server.ready_timeout_s,
        placement=trial.placement,
        trial_dir=folder,
        before=server.hooks.before_trial,
        after=server.hooks.after_trial,
        tls=tls_of(server, prepared.base_dir),
        container=trial.container,
        lifetime_s=prepared.spec.limits.duration_s + LEFT_BEHIND_S,
    )


def refuse_changes(stored: StoredJob, prepared: Prepared) -> None:
    """Raise InputError where a file that the job was started with is another by now."""
    before = dict(stored.inputs["digests"])
    # An image that was missing then, and is there now, brings back the candidates it kept out.
    changed = [
        name for name, digest in prepared.digests.items() if before.get(name, digest) != digest
    ]
    if changed:
        what = f"{', '.join(changed)} of {stored.id} changed since it was started"
        raise InputError(what, "its trials would not be comparable", "start a new job")


def speaker(store: Store, job_id: str, on_event: OnEvent | None) -> OnEvent:
    """Events to the caller, and to the store for other readers."""
    persisted_s: dict[str, float] = {}

    def say(event: events.Event) -> None:
        if on_event is not None:
            on_event(event)
        if isinstance(event, events.StepProgress):
            if time.monotonic() - persisted_s.get(event.trial_id, 0.0) < PERSIST_PROGRESS_S:
                return
            persisted_s[event.trial_id] = time.monotonic()
        store.add_event(job_id, type(event).__name__, asdict(event))

    return say


def _prices(prepared: Prepared) -> dict[str, Any]:
    """Prices as they are when the job is made, so that it shows the same costs for ever.

    Each at the utilisation that the job plans with.
    """
    spec = prepared.spec
    utilisation = spec.target.max_utilisation_ratio if spec.target else 1.0
    prices: dict[str, Any] = {}
    for name in {candidate.instance_type for candidate in prepared.plan.candidates}:
        kind = prepared.catalog.find(name)
        if kind is not None:
            prices[name] = {
                "per_hour_usd": prepared.catalog.price(kind, utilisation),
                "basis": kind.price_basis,
                "date": kind.price_date,
            }
            if kind.cost_model is not None:
                ends = [prepared.catalog.price(kind, ratio) for ratio in (0.0, 1.0)]
                prices[name]["idle_and_loaded_usd"] = ends
    return prices

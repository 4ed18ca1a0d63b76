"""One trial: start, probe, drive, end, judge, save. No policy, no printing; it speaks by events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from rightsizer import events
from rightsizer.analysis.excess import Floats
from rightsizer.analysis.steps import count, judge_steps
from rightsizer.analysis.windows import latencies_so_far
from rightsizer.candidates import differing, shared_variables
from rightsizer.errors import (
    Reason,
    TrialEnded,
    TrialFailed,
    TrialState,
    TrialStopped,
)
from rightsizer.hosts.base import Host, Launch, Server
from rightsizer.hosts.records import Calibration
from rightsizer.judging import analyse, conditions_of, state_by_figures
from rightsizer.machines import Placement
from rightsizer.plan import Plan, PlannedTrial
from rightsizer.protocols import Request
from rightsizer.samples import Samples, read_samples
from rightsizer.schedule import Step
from rightsizer.search import PlannedSteps, StepPolicy, policy_for
from rightsizer.spec import JobSpec, StopSpec
from rightsizer.traffic.base import Session, Traffic
from rightsizer.traffic.records import StepRecord
from rightsizer.trial_watch import Watch, crash_of, since_the_last_answer
from rightsizer.trials import Measurement, TrialRecord
from rightsizer.units import NS_PER_S, per_min

LAST_WORDS_S = 0.25
"""What a server printed before it failed may still be on its way to the log."""
PROBE_AGAIN_S = 0.25


class Control(Protocol):
    """Whether, and how hard, the run is to end. Asked several times a second."""

    def level(self) -> int:
        """0 go on; 1 end the step and save; 2 or more: do not even drain."""

    def reason(self) -> Reason:
        """Why, when the level is not 0."""


@dataclass(frozen=True)
class Parts:
    """The outside world, as the seams show it."""

    hosts: Mapping[str, Host]
    """By host name."""
    traffic: Traffic
    launch: Callable[[PlannedTrial, Path], Launch]
    save: Callable[[TrialRecord], None]
    """Durable when it returns."""
    say: Callable[[events.Event], None]
    control: Control
    calibrate: Callable[[Placement, float], Calibration | None] = lambda placement, traffic_s: None
    """The CPUs for a server that is not there yet, before so much traffic (s)."""


@dataclass(frozen=True)
class JobContext:
    """What all trials of a job share."""

    spec: JobSpec
    plan: Plan
    request: Request
    pinned: bool
    """Whether this platform holds processes to CPU sets."""
    job_dir: Path
    parts: Parts


class Trial:
    """One candidate on one fresh server start."""

    def __init__(
        self,
        context: JobContext,
        planned: PlannedTrial,
        ordinal: int,
        attempt: int,
        number: int,
        of: int,
        left_s: Callable[[float], float],
    ) -> None:
        """`left_s` tells the job's time left from the seconds this trial has taken."""
        self.context, self.parts, self.left_s = context, context.parts, left_s
        self.planned, self.number, self.of = planned, number, of
        self.begin_s = time.monotonic()
        self.dir = context.job_dir / f"{planned.id}-{attempt}"
        self.policy: StepPolicy = _policy(context, planned)
        self.records: list[StepRecord] = []
        self.files: Sequence[Path] = ()
        self.measurement = Measurement(placement=planned.placement)
        self.conditions = conditions_of(context.spec, context.request, planned.placement)
        self.record = TrialRecord(
            id=planned.id,
            ordinal=ordinal,
            candidate=planned.candidate,
            twins=planned.twins,
            host=planned.host.name,
            state=TrialState.RUNNING,
            attempt=attempt,
            stage=planned.stage,
            block=planned.block,
        )

    def run(self) -> TrialRecord:
        """Start, probe, drive, end, judge, save."""
        self.dir.mkdir(parents=True, exist_ok=True)
        self.parts.save(self.record)
        self.parts.say(
            events.TrialStarted(
                trial_id=self.planned.id,
                number=self.number,
                of=self.of,
                label=self.planned.label,
                brief=_brief(self.planned, self.context.plan),
                host=self.planned.host.name,
                left_s=self._left_s(),
                starts_server=self.context.spec.server.url is None,
            )
        )
        ended: TrialEnded | None = None
        launch = self.parts.launch(self.planned, self.dir)
        try:
            self._measure(launch)
        except TrialEnded as error:
            ended = _without_secrets(error, launch.secrets)
        self.record = self._judged(ended)
        self.parts.save(self.record)
        self._say_ended()
        return self.record

    # -- measuring -----------------------------------------------------------------------------

    def _measure(self, launch: Launch) -> None:
        host = self.parts.hosts[self.planned.host.name]
        self._tick()
        traffic_s = self.planned.budget_s or self.context.plan.traffic_s
        calibration = self.parts.calibrate(self.planned.placement, traffic_s)
        self.measurement = replace(self.measurement, calibration=calibration)
        with host.start(launch, self._tick) as server:
            try:
                self._probe(server, launch)
                self._drive(server)
            except TrialFailed as error:
                if not error.log_tail:
                    time.sleep(LAST_WORDS_S)
                    error.log_tail = server.log_tail()
                raise
            finally:
                usage = tuple(server.usage())
                self.measurement = replace(
                    self.measurement, usage=usage, records=tuple(self.records)
                )

    def _probe(self, server: Server, launch: Launch) -> None:
        """One request for each payload before any traffic: fail early, and say why.

        A server without a ready path is ready when it answers its first probe.
        """
        deadline_s = time.monotonic() + launch.ready_timeout_s
        while True:
            try:
                found = self.parts.traffic.probe(server.endpoint, self.context.request, self._tick)
                break
            except TrialFailed as error:
                loading = launch.ready_path is None and error.may_be_loading
                if not loading or time.monotonic() > deadline_s:
                    raise
            server.check()
            time.sleep(PROBE_AGAIN_S)
        latency_ms, reach = dict(found), None
        if self.planned.placement.far:
            reach = self.parts.traffic.reach(server.endpoint, self.context.request)
        self.measurement = replace(
            self.measurement, ready_s=server.ready_s, probe_latency_ms=latency_ms, reach=reach
        )
        slowest_ms = max(latency_ms.values(), default=None)
        self.parts.say(events.ServerReady(self.planned.id, server.ready_s, slowest_ms))

    def _drive(self, server: Server) -> None:
        with self.parts.traffic.open(
            server.endpoint,
            self.context.request,
            seed=self.context.spec.payload.seed + self.planned.block,
            trial_dir=self.dir,
            owner=server.owner,
            cpus=self.planned.placement.generator_cpus,
        ) as session:
            self.files = session.sample_files
            while (step := self.policy.ask()) is not None:
                stop = self._drive_step(server, session, step)
                if stop is not None:
                    raise stop
                if self.parts.control.level():
                    raise TrialStopped(self.parts.control.reason(), "ended before its plan")

    def _drive_step(self, server: Server, session: Session, step: Step) -> TrialEnded | None:
        """Drive one step and judge it. What ends the trial is returned once the step is drained,
        so that no sample is lost."""
        number = len(self.records) + 1
        planned = self.policy.planned
        self.parts.say(
            events.StepStarted(self.planned.id, number, planned, step.label, step.duration_s)
        )
        watch = Watch(self.context.request.timeout_s)
        before = self.records[-1].committed if self.records else 0
        settled = False
        stop: TrialEnded | None = None
        told = 0
        for progress in session.drive(step):
            if stop is None:
                stop = watch.hung(progress) or crash_of(server)
                if stop is not None:
                    session.abandon()
            level = self.parts.control.level()
            if stop is None and level > told:
                told = level
                session.stop_step() if level == 1 else session.abandon()
            if stop is None and not told and not settled:
                read = partial(self._latencies, step, before, progress.committed)
                settled = self.policy.look(progress.elapsed_s, read)
                if settled:
                    session.stop_step()
            self.parts.say(events.StepProgress(self.planned.id, progress, self._left_s()))
        record = _as_long_as_it_was(session.last) if settled and not told else session.last
        self.records.append(record)
        samples = read_samples(self.files)[: record.committed]
        [figures] = judge_steps(samples, [record], server.usage(), self.conditions)
        samples = samples[samples["step"] == step.index]
        self.policy.tell(figures)
        self.parts.say(events.StepEnded(self.planned.id, figures))
        crash = crash_of(server)
        if crash is not None:
            return crash
        after = since_the_last_answer(samples)
        if stop is None and (not len(after) or self.parts.control.level()):
            return None
        return self._silent(server, stop, after)

    def _latencies(self, step: Step, before: int, committed: int) -> Floats:
        """Of the running step, ms, as far as they are settled; for `StepPolicy.look`."""
        samples = read_samples(self.files)[before:committed]
        limit_ms = self.conditions.limit.latency_ms or 0.0
        return latencies_so_far(samples, step, limit_ms, self.conditions.request_timeout_s)

    def _silent(
        self, server: Server, hung: TrialEnded | None, samples: Samples
    ) -> TrialEnded | None:
        """Why no invocation succeeded any more: errors, a server that is gone, or an overload."""
        requests = count(samples["outcome"])
        if requests.failed >= requests.timed_out + requests.unfinished:
            if hung is None:
                return None  # `state_by_figures` knows what to make of a whole step of errors
            return TrialFailed(Reason.ERRORS, f"{hung.detail}; {requests.failed} errors")
        request = self.context.request
        one = replace(request, bodies=request.bodies[:1])
        try:
            self.parts.traffic.probe(server.endpoint, one, lambda: None)
        except TrialFailed as error:
            detail = f"no invocation succeeded at a step's end, and afterwards {error.detail}"
            return TrialFailed(Reason.HUNG, detail)
        return None

    def _tick(self) -> None:
        if self.parts.control.level():
            raise TrialStopped(self.parts.control.reason(), "ended before any traffic")

    # -- judging -------------------------------------------------------------------------------

    def _judged(self, ended: TrialEnded | None) -> TrialRecord:
        """The trial's record with its state, figures and requests."""
        stopped = isinstance(ended, TrialStopped)
        measurement = replace(
            self.measurement,
            stopped_early=self.policy.stopped_early,
            cut_short=stopped,
        )
        record = replace(
            self.record,
            state=TrialState.SUCCEEDED if ended is None else ended.state,
            reason=None if ended is None else ended.reason,
            detail="" if ended is None else ended.detail,
            log_tail="" if ended is None else ended.log_tail,
            measurement=measurement,
            sample_files=tuple(str(path.relative_to(self.context.job_dir)) for path in self.files),
            wall_s=time.monotonic() - self.begin_s,
        )
        context = self.context
        judged = analyse(
            record, context.spec, context.request, context.job_dir, pinned=context.pinned
        )
        return state_by_figures(judged) if ended is None else judged

    def _say_ended(self) -> None:
        record, figures = self.record, self.record.figures
        maximum = figures.max_invocations_per_min if figures else None
        latency_ms = figures.model_latency_ms if figures else None
        detail = record.detail or (figures.limit_detail if figures else "")
        if self.planned.steps and record.steps and not record.detail:
            # A final drives one known load; its maximum is that of all finals together.
            last = record.steps[-1]
            maximum, latency_ms, detail = per_min(last.achieved_per_s), last.latency_ms, ""
        self.parts.say(
            events.TrialEnded(
                trial_id=self.planned.id,
                number=self.number,
                of=self.of,
                label=self.planned.label,
                brief=_brief(self.planned, self.context.plan),
                state=record.state.value,
                reason=None if record.reason is None else record.reason.value,
                detail=detail,
                max_invocations_per_min=maximum,
                max_kind=figures.max_kind if figures else None,
                basis=figures.basis if figures else None,
                percentile=figures.percentile if figures else None,
                model_latency_ms=latency_ms,
                wall_s=record.wall_s,
            )
        )

    def _left_s(self) -> float:
        return self.left_s(time.monotonic() - self.begin_s)


def _brief(planned: PlannedTrial, plan: Plan) -> str:
    """Its label without what all candidates share."""
    shared = shared_variables(candidate.environment for candidate in plan.candidates)
    candidate = planned.candidate
    own = replace(candidate, environment=differing(candidate.environment, shared))
    return replace(planned, candidate=own).label


def _policy(context: JobContext, planned: PlannedTrial) -> StepPolicy:
    """The job's, but for a trial with steps or a budget of its own."""
    spec, traffic = context.spec, context.spec.traffic
    if planned.steps:
        return PlannedSteps(planned.steps, StopSpec(flat_invocations="continue"))
    if planned.budget_s is not None:
        traffic = traffic.model_copy(update={"budget_s": planned.budget_s})
    return policy_for(traffic, context.plan.steps, spec.stop, spec.limit)


def _without_secrets(ended: TrialEnded, secrets: frozenset[str]) -> TrialEnded:
    """A server may answer or print what it was told in confidence."""
    for secret in sorted(secrets, key=len, reverse=True):
        ended.detail = ended.detail.replace(secret, "***")
        ended.log_tail = ended.log_tail.replace(secret, "***")
    return ended


def _as_long_as_it_was(record: StepRecord) -> StepRecord:
    """A step that was ended because it had told enough is whole, only shorter."""
    length_s = (record.end_ns - record.begin_ns) / NS_PER_S
    return replace(record, step=replace(record.step, duration_s=length_s), complete=True)

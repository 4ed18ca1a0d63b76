"""Two jobs measured in turn on one host, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rightsizer import events
from rightsizer.analysis.trial import basis_of
from rightsizer.candidates import shared_variables
from rightsizer.compared import Compared, Matched
from rightsizer.jobs import (
    OnEvent,
    Outside,
    context_of,
    create,
    real_outside,
    speaker,
    unpack_model,
)
from rightsizer.loading import assemble
from rightsizer.matching import Asked, Match, matched
from rightsizer.paired_race import Pair, PairedRace, figures_of
from rightsizer.plan import PlannedTrial
from rightsizer.planning import require_runnable
from rightsizer.preparation import Prepared, prepare
from rightsizer.racing import Race
from rightsizer.runner import Runner
from rightsizer.running import running
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import Store, StoredJob, default_store
from rightsizer.traffic.driver import require_cpus
from rightsizer.trial_run import JobContext
from rightsizer.trials import TrialRecord
from rightsizer.units import per_min


@dataclass(frozen=True)
class _Side:
    """One of the two jobs while they run."""

    stored: StoredJob
    prepared: Prepared
    candidates: frozenset[str]
    """Ids of the candidates that are its own."""


def ab(
    job_a: str | Path,
    job_b: str | Path,
    *,
    fail_on_regression_percent: float | None = None,
    store: str | Path | None = None,
    workers: int = 1,
    on_event: OnEvent | None = None,
    switch: StopSwitch | None = None,
    outside: Outside | None = None,
) -> Compared:
    """Measure two jobs in turn, on fresh starts that share arrivals and payloads; compare them.

    Both are stored, each with its own trials. The payload's seed is A's.

    Args:
        job_a: the baseline's job file; with `search` or `saturate` traffic.
        job_b: the other's; same traffic, limit, payload, hosts and prices.
        fail_on_regression_percent: what B may cost more before `exit_code` is 8.
        store, workers, on_event, switch, outside: as for `jobs.run`.

    Raises:
        InputError: a job file, or two that cannot be compared.
        EnvironmentFault: as for `jobs.run`.
    """
    a, b = prepare(Path(job_a)), prepare(Path(job_b))
    payload = b.spec.payload.model_copy(update={"seed": a.spec.payload.seed})
    b = replace(b, spec=b.spec.model_copy(update={"payload": payload}))
    for prepared in (a, b):
        require_runnable(prepared.plan)
        require_cpus(workers, prepared.plan.fewest_generator_cpus)
    match = matched(*(Asked(x.spec, x.digests, x.plan) for x in (a, b)))
    with Store(Path(store) if store is not None else default_store()) as opened, ExitStack() as own:
        sides = []
        for prepared, file, which in ((a, job_a, 0), (b, job_b, 1)):
            stored = create(opened, prepared, file, is_side=True)
            own.enter_context(opened.own(stored.id))
            mine = frozenset(pair.both[which] for pair in match.pairs)
            sides.append(_Side(stored, prepared, mine))
        _run(
            opened, sides, match, on_event, switch or StopSwitch(), outside or real_outside(workers)
        )
        return _compared(opened, sides, match, fail_on_regression_percent)


def _run(
    store: Store,
    sides: Sequence[_Side],
    match: Match,
    on_event: OnEvent | None,
    switch: StopSwitch,
    outside: Outside,
) -> None:
    """Lease what both need, run the trials, and say how both ended."""
    ids = [side.stored.id for side in sides]
    say = _to_both(store, ids, on_event)
    limit_s = sum(side.prepared.spec.limits.duration_s for side in sides)
    with running(
        store, ids, match.plan, leases=outside.leases, limit_s=limit_s, switch=switch, say=say
    ) as deadline_s:
        _measure(store, sides, match, outside, switch, say, deadline_s)


def _measure(
    store: Store,
    sides: Sequence[_Side],
    match: Match,
    outside: Outside,
    switch: StopSwitch,
    say: OnEvent,
    deadline_s: float,
) -> None:
    contexts = []
    for side in sides:
        job_dir = store.job_dir(side.stored.id)
        say(
            events.JobStarted(
                job_id=side.stored.id,
                folder=str(job_dir),
                trials=len(side.candidates) * (1 + match.starts),
                refused=0,
                expected_s=match.plan.expected_s,
                shared=shared_variables(one.environment for one in match.plan.candidates),
            )
        )
        model_dir = unpack_model(side.prepared, job_dir)
        contexts.append(
            context_of(store, side.stored, side.prepared, outside, switch, say, model_dir)
        )
    first, second = contexts

    def of(candidate_id: str) -> JobContext:
        return first if candidate_id in sides[0].candidates else second

    def of_trial(trial: PlannedTrial, together: JobContext) -> JobContext:
        own = of(trial.candidate.id)
        # Saving, stopping and what the candidates have in common are those of both.
        parts = replace(together.parts, launch=own.parts.launch, hosts=own.parts.hosts)
        return replace(own, plan=match.plan, parts=parts)

    def save(record: TrialRecord) -> None:
        of(record.candidate.id).parts.save(record)

    together = replace(first, plan=match.plan, parts=replace(first.parts, save=save))
    race = Race(match.plan, sides[0].prepared.spec, lambda name: None)
    Runner(together, PairedRace(race, match.pairs, match.starts), deadline_s, of_trial).run({})


def _to_both(store: Store, ids: Sequence[str], on_event: OnEvent | None) -> OnEvent:
    """Events to the caller once, and to both jobs for other readers."""
    stored = {one: speaker(store, one, None) for one in ids}

    def say(event: events.Event) -> None:
        if on_event is not None:
            on_event(event)
        for one, keep in stored.items():
            if not isinstance(event, events.JobStarted | events.JobEnded) or event.job_id == one:
                keep(event)

    return say


def _compared(
    store: Store, sides: Sequence[_Side], match: Match, fail_percent: float | None
) -> Compared:
    spec = sides[0].prepared.spec
    job_a, job_b = (assemble(store, store.job(side.stored.id)) for side in sides)
    records = [*job_a.trials, *job_b.trials]
    prices = {**sides[1].stored.inputs["prices"], **sides[0].stored.inputs["prices"]}

    def per_hour_usd(name: str) -> float | None:
        found: float | None = prices.get(name, {}).get("per_hour_usd")
        return found

    by_id = {trial.candidate.id: trial.candidate for trial in match.plan.trials}

    def of(pair: Pair) -> Matched:
        figures = figures_of(records, pair, per_hour_usd, spec.limit, len(match.pairs))
        one, other = (by_id[key] for key in pair.both)
        maxima = figures.maxima_per_s
        return Matched(
            (one.instance_type, other.instance_type),
            (one.environment, other.environment),
            None if maxima is None else (per_min(maxima[0]), per_min(maxima[1])),
            figures.comparison,
        )

    return Compared(
        job_a,
        job_b,
        basis_of(spec.traffic, spec.limit),
        is_paired=True,
        pairs=tuple(map(of, match.pairs)),
        fail_on_regression_ratio=None if fail_percent is None else fail_percent / 100,
    )

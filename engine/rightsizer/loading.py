"""Stored jobs as results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt
from rightsizer.effects import effects_of
from rightsizer.entrants import unreliable_of
from rightsizer.errors import TrialState
from rightsizer.fleets import Price
from rightsizer.interactions import interactions_of
from rightsizer.needs import Need, raised
from rightsizer.recommendation import Recommendation, recommend
from rightsizer.results import Job, JobLine, Origin
from rightsizer.spec import JobSpec, SaturateTraffic, SearchTraffic
from rightsizer.standing import Standing, standing_of
from rightsizer.store import Store, StoredJob, default_store
from rightsizer.trials import TrialRecord

OF_TOO_FEW_FINALS = frozenset({"few-starts", "not-separated"})


def load(job: str, *, store: str | Path | None = None) -> Job:
    """A stored job by its id or unambiguous name.

    Raises:
        UsageError: no such job, or more than one of that name.
    """
    with Store(Path(store) if store is not None else default_store()) as opened:
        return assemble(opened, opened.find(job))


def list_stored(*, store: str | Path | None = None) -> list[JobLine]:
    """All stored jobs in brief, newest first."""
    with Store(Path(store) if store is not None else default_store()) as opened:
        return [_line(assemble(opened, stored, with_usage=False)) for stored in opened.jobs()]


def _line(job: Job) -> JobLine:
    best = job.best
    return JobLine(
        id=job.id,
        name=job.name,
        status=job.status,
        created=job.created,
        trials=len(job.trials),
        succeeded=sum(trial.state is TrialState.SUCCEEDED for trial in job.trials),
        best=None if best is None else f"{best.instance_type} {best.environment_text}".strip(),
        max_invocations_per_min=None if best is None else best.max_invocations_per_min,
        basis=None if best is None else best.basis,
    )


def assemble(store: Store, stored: StoredJob, *, with_usage: bool = True) -> Job:
    """A job's stored trials, ranked."""
    found = unranked(store, stored, with_usage=with_usage)
    spec = JobSpec.model_validate(dict(stored.spec))
    prices = {name: Price(**price) for name, price in stored.inputs["prices"].items()}
    standing = raced(found.trials, spec, prices)
    unreliable = unreliable_of(found.trials, spec.limit)
    ranked, rejected = recommend(
        found.trials, prices.__getitem__, spec.target, standing, unreliable
    )
    ranked, on_job = with_doubts_of_api(ranked, stored.inputs)
    if found.status == "stopped" and "digests" in stored.inputs:
        ranked = [_to_be_resumed(row, stored.id) for row in ranked]
    return replace(
        found,
        recommendations=tuple(ranked),
        rejected=tuple(rejected),
        effects=tuple(effects_of(ranked)),
        interactions=tuple(interactions_of(ranked)),
        doubts=(*on_job, *found.doubts),
    )


def unranked(store: Store, stored: StoredJob, *, with_usage: bool = True) -> Job:
    """What is stored of a job, before anything is made of its trials; see `Store.trials`."""
    on_job: list[Doubt] = []
    if stored.cut_short:
        # One that never had its inputs cannot be resumed.
        can_resume = "digests" in stored.inputs
        todo = f"rightsizer resume {stored.id}" if can_resume else "create a new job"
        on_job.append(doubts.cut_short(stored.cut_short, todo))
    choice = stored.inputs.get("choice")
    if choice and choice["left_out"]:
        todo = raised([Need(**one) for one in choice.get("needs", ())])  # an older job has none
        on_job.append(
            doubts.left_out(choice["left_out"], choice["candidates"], choice["cut"], todo)
        )
    return Job(
        id=stored.id,
        name=stored.name,
        type=stored.type,
        status=store.status_of(stored),
        created=stored.created,
        spec=stored.spec,
        recommendations=(),
        rejected=(),
        effects=(),
        trials=tuple(store.trials(stored.id, with_usage=with_usage)),
        doubts=tuple(on_job),
        choice=choice,
        samples_dir=str(store.job_dir(stored.id)),
        origin=_origin(stored.inputs),
    )


def _to_be_resumed(row: Recommendation, job_id: str) -> Recommendation:
    """What more finals would mend of a job that was stopped, going on with it does."""
    todo = f"rightsizer resume {job_id}"
    changed = [
        replace(doubt, next_step=todo) if doubt.code in OF_TOO_FEW_FINALS else doubt
        for doubt in row.doubts
    ]
    return replace(row, doubts=tuple(changed))


def with_doubts_of_api(
    rows: Sequence[Recommendation], inputs: Mapping[str, Any]
) -> tuple[list[Recommendation], list[Doubt]]:
    """Rows that bear what every result of the API suffers from, and what the job itself has to,
    where there are no rows."""
    found = doubts_of_api(inputs)
    return [replace(row, doubts=(*found, *row.doubts)) for row in rows], [] if rows else found


def doubts_of_api(inputs: Mapping[str, Any]) -> list[Doubt]:
    """What the API made otherwise than its caller asked."""
    found = []
    if (scale := inputs.get("time_scale", 1.0)) != 1.0:
        found.append(doubts.time_scaled(scale))
    if note := inputs.get("image_note"):
        found.append(doubts.other_image(note))
    return found


def _origin(inputs: Mapping[str, Any]) -> Origin:
    return Origin(
        job_file=inputs.get("job_file", ""),
        digests=inputs.get("digests", {}),
        versions=inputs.get("versions", {}),
        machine=inputs.get("machine", {}),
    )


def raced(
    trials: Sequence[TrialRecord], spec: JobSpec, prices: Mapping[str, Price]
) -> Standing | None:
    """How a job's candidates stand; None where its traffic gives nothing to race by."""
    if not isinstance(spec.traffic, SearchTraffic | SaturateTraffic):
        return None
    return standing_of(trials, lambda name: prices[name].per_hour_usd, spec.limit, spec.target)

"""What `plan`, `list` and `instance-types` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from rightsizer.accelerators import UNTRIED, described
from rightsizer.candidates import Candidate, differing, shared_variables
from rightsizer.catalog import InstanceType
from rightsizer.defaults import Choice
from rightsizer.machines import format_cpus
from rightsizer.plan import START_S, Plan, PlannedTrial
from rightsizer.report.budget_text import time_taken, too_short
from rightsizer.report.cells import Columns, Lines, fold_one, table_text, table_with_words, width_of
from rightsizer.report.choice_text import choice_sections
from rightsizer.report.entries import Entry, Section, section_text
from rightsizer.report.layout import aligned, label, one_line, own_command, variables
from rightsizer.report.sentence import promise
from rightsizer.report.shared import shared_line
from rightsizer.results import JobLine
from rightsizer.spec import JobSpec
from rightsizer.units import ABSENT, counted, duration, given, hourly_usd, significant

PLAN_HEADERS = {
    "InstanceType": "Instance type",
    "EnvironmentParameters": "Environment",
    "Host": "Host",
    "ServerCPUs": "CPUs",
    "GeneratorCPUs": "Generator",
    "Provenance": "Provenance",
}
"""Whole, and as a terminal shows them."""
TYPES_HEADERS = {
    "InstanceType": "Instance type",
    "VCPUs": "vCPUs",
    "MemoryGiB": "GiB",
    "Accelerator": "Accelerator",
    "PricePerHour": "Price/hour",
    "PriceBasis": "Price basis",
    "Processor": "Processor",
}
JOBS_HEADERS = ("Job", "Status", "Created", "Succeeded", "Best", "MaxInvocations")
JOBS_TERMINAL_HEADERS = ("Job\ncreated", "Status\nsucceeded", "Best", "Max/min")


def plan_table(plan: Plan, spec: JobSpec, width: int | None, choice: Choice | None = None) -> str:
    """What a job would do, and how a default one came by it.

    `width` is the terminal's, None where there is none: then each row has its whole environment.
    """
    shared = shared_variables(candidate.environment for candidate in plan.candidates)
    parts = [_summary(plan, spec, width)]
    if choice is not None:
        parts += [section_text(section, width) for section in choice_sections(choice)]
    if plan.trials:
        parts.append(_trials(plan, {} if width is None else shared, width))
    if shared:
        parts.append(shared_line(shared, width))
    parts += [section_text(section, width) for section in _sections(plan, spec, shared)]
    return "\n\n".join(parts)


def jobs_table(jobs: Sequence[JobLine], width: int | None) -> str:
    """Stored jobs, one a row, in the order given."""
    if not jobs:
        return "No jobs are stored. Next: rightsizer run JOB.yaml"
    if width is None:
        return "\n".join(aligned(JOBS_HEADERS, [_job_cells(row) for row in jobs]))
    rows = []
    for row in jobs:
        name, status, created, succeeded, best, maximum = _job_cells(row)
        rows.append(
            [f"{name}\n{created}", f"{status}\n{succeeded}", "\n".join(best.split()), maximum]
        )
    fold = JOBS_TERMINAL_HEADERS.index("Best")
    return _terminal(JOBS_TERMINAL_HEADERS, rows, fold, width)


def instance_types_table(
    priced: Sequence[tuple[InstanceType, float | None]], width: int | None
) -> str:
    """Instance types with what each costs, USD an hour."""
    rows = [_type_cells(kind, price) for kind, price in priced]
    if width is None:
        return "\n".join(aligned(list(TYPES_HEADERS), rows))
    columns = _columns(list(TYPES_HEADERS.values()), rows)
    # One line a row: where there is no room for the processors they go.
    return table_text(columns if width_of(columns) <= width else columns[:-1], width)


def _summary(plan: Plan, spec: JobSpec, width: int | None) -> str:
    finals = f" and some {plan.finals} short finals" if plan.finals else ""
    candidates = counted(len(plan.candidates), "candidate")
    trials = f"{counted(len(plan.trials), 'trial')}{finals}"
    line = f"{spec.name}: {candidates}, {trials}, {time_taken(plan, spec)}"
    return line if width is None else fill(line, width)


def _sections(plan: Plan, spec: JobSpec, shared: Mapping[str, str]) -> list[Section]:
    refused = tuple(Entry(_label(r.candidate, shared), one_line(r.why)) for r in plan.refused)
    sharing = {t.candidate.instance_type: None for t in plan.trials if t.placement.co_located}
    co_located = [
        Entry("co-located", f"{kind} shares a physical core with the generator") for kind in sharing
    ]
    relaxed = dict.fromkeys(what for t in plan.trials for what in t.placement.relaxed)
    equipped = {
        trial.candidate.instance_type: described(trial.placement.accelerators)
        for trial in plan.trials
        if trial.placement.accelerators
    }
    accelerators = [Entry(kind, what) for kind, what in equipped.items()]
    accelerators += [Entry("untried", UNTRIED)] if equipped else []
    groups = [t for t in plan.trials if t.twins]
    return [
        *([Section("Cannot run", refused)] if refused else []),
        *([Section("Measured once", tuple(_group(t, shared) for t in groups))] if groups else []),
        *([Section("Containers may", tuple(_relaxation(r) for r in relaxed))] if relaxed else []),
        *([Section("Accelerators", tuple(accelerators))] if accelerators else []),
        *too_short(plan, spec),
        Section(
            "Each trial",
            (
                *_start(spec),
                Entry("traffic", _traffic(plan, spec)),
                *_wanted(spec),
                *co_located,
            ),
        ),
    ]


def _trials(plan: Plan, shared: Mapping[str, str], width: int | None) -> str:
    rows = [_trial_cells(trial, shared) for trial in plan.trials]
    if width is None:
        return "\n".join(aligned(list(PLAN_HEADERS), rows))
    columns = _columns(list(PLAN_HEADERS.values()), rows)
    if width_of(columns) <= width:
        return table_text(columns, width)
    place = list(PLAN_HEADERS).index("EnvironmentParameters")
    words = [row[place].split("\n") for row in rows]
    return table_with_words([*columns[:place], *columns[place + 1 :]], words, width)


def _start(spec: JobSpec) -> list[Entry]:
    if spec.server.url:
        return []
    return [
        Entry(
            "server start",
            f"reckoned at {START_S:g} s with calibration; slower ones make the job longer",
        )
    ]


def _traffic(plan: Plan, spec: JobSpec) -> str:
    whole = f"{duration(plan.traffic_s)} in all"
    if not plan.steps:
        return f"{spec.traffic.type}, levels chosen as it goes, at most {whole}"
    steps = ", ".join(f"{step.label} for {duration(step.duration_s)}" for step in plan.steps)
    mode = plan.steps[0].mode
    return f"{mode}, {counted(len(plan.steps), 'step')}: {steps}; {whole}"


def _wanted(spec: JobSpec) -> list[Entry]:
    found = [Entry("limit", promise(spec.limit))]
    if spec.target is not None:
        wanted = given(spec.target.invocations_per_min)
        found.append(Entry("target", f"{wanted} invocations a minute"))
    return found


def _group(trial: PlannedTrial, shared: Mapping[str, str]) -> Entry:
    others = ", ".join(candidate.instance_type for candidate in trial.twins)
    return Entry(
        _label(trial.candidate, shared),
        f"stands for {others} too: nothing here tells them apart, and they rank by price only",
    )


def _relaxation(told: str) -> Entry:
    key, _, what = told.partition(": ")
    return Entry(key, what)


def _label(candidate: Candidate, shared: Mapping[str, str]) -> str:
    own = differing(candidate.environment, shared)
    return label(candidate.instance_type, own, candidate.own_server)


def _trial_cells(trial: PlannedTrial, shared: Mapping[str, str]) -> list[str]:
    candidate, placement = trial.candidate, trial.placement
    own = variables(differing(candidate.environment, shared))
    return [
        candidate.instance_type,
        "\n".join([*own, *own_command(candidate.own_server)]),
        trial.host.name,
        format_cpus(placement.server_cpus),
        format_cpus(placement.generator_cpus),
        placement.provenance,
    ]


def _job_cells(row: JobLine) -> list[str]:
    return [
        row.id,
        row.status,
        row.created,
        f"{row.succeeded} of {row.trials}",
        row.best or ABSENT,
        f"{significant(row.max_invocations_per_min)} {row.basis or ''}".strip(),
    ]


def _type_cells(kind: InstanceType, price_per_hour_usd: float | None) -> list[str]:
    accelerator = f"{kind.accelerator_count or 1} x {kind.accelerator}" if kind.accelerator else ""
    return [
        kind.name,
        str(kind.vcpus),
        significant(kind.memory_gib),
        accelerator or ABSENT,
        hourly_usd(price_per_hour_usd),
        ABSENT if price_per_hour_usd is None else _basis(kind),
        kind.processor or ABSENT,
    ]


def _basis(kind: InstanceType) -> str:
    return ", ".join(part for part in (kind.price_basis, kind.price_date) if part) or ABSENT


def _terminal(headers: Sequence[str], rows: Sequence[Sequence[str]], fold: int, width: int) -> str:
    """Fitted to a terminal; the column at `fold` gives way where there is too little room."""
    return table_text(fold_one(_columns(headers, rows), fold, width), width)


def _columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns:
    return [
        [_lines(header, "bold"), *(_lines(row[place] or ABSENT, "") for row in rows)]
        for place, header in enumerate(headers)
    ]


def _lines(cell: str, style: str) -> Lines:
    """The first line in its style, those below it dim."""
    return [(line, style if not number else "dim") for number, line in enumerate(cell.split("\n"))]

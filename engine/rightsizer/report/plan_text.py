"""What `plan`, `list` and `instance-types` print."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from rightsizer.catalog import InstanceType
from rightsizer.inventory import format_cpus
from rightsizer.plan import Plan, PlannedTrial
from rightsizer.report.entries import Entry, Section, section_text
from rightsizer.report.layout import aligned, drawn, label, one_line, variables
from rightsizer.report.sentence import promise
from rightsizer.results import JobLine
from rightsizer.spec import JobSpec
from rightsizer.units import ABSENT, counted, duration, given, significant, usd

PLAN_HEADERS = (
    "InstanceType",
    "EnvironmentParameters",
    "Host",
    "ServerCPUs",
    "GeneratorCPUs",
    "Provenance",
)
JOBS_HEADERS = ("Job", "Status", "Created", "Succeeded", "Best", "MaxInvocations")
TYPES_HEADERS = (
    "InstanceType",
    "VCPUs",
    "MemoryGiB",
    "Accelerator",
    "PricePerHour",
    "PriceBasis",
    "Processor",
)


def plan_table(plan: Plan, spec: JobSpec, width: int | None) -> str:
    """What a job would do. `width` is the terminal's, None where there is none."""
    parts = [_summary(plan, spec)]
    if plan.trials:
        rows = [_trial_cells(trial) for trial in plan.trials]
        parts.append(_table(PLAN_HEADERS, rows, width))
    parts += [section_text(section, width) for section in _sections(plan, spec)]
    return "\n\n".join(parts)


def jobs_table(jobs: Sequence[JobLine], width: int | None) -> str:
    """Stored jobs, one a row, in the order given."""
    if not jobs:
        return "No jobs are stored. Next: rightsizer run JOB.yaml"
    return _table(JOBS_HEADERS, [_job_cells(row) for row in jobs], width)


def instance_types_table(
    priced: Sequence[tuple[InstanceType, float | None]], width: int | None
) -> str:
    """Instance types with what each costs, USD an hour."""
    return _table(TYPES_HEADERS, [_type_cells(kind, price) for kind, price in priced], width)


def _summary(plan: Plan, spec: JobSpec) -> str:
    return (
        f"{spec.name}: {counted(len(plan.candidates), 'candidate')}, "
        f"{counted(len(plan.trials), 'trial')}, about {duration(plan.expected_s)}"
    )


def _sections(plan: Plan, spec: JobSpec) -> list[Section]:
    refused = tuple(
        Entry(label(r.candidate.instance_type, r.candidate.environment), one_line(r.why))
        for r in plan.refused
    )
    return [
        *([Section("Cannot run", refused)] if refused else []),
        Section("Each trial", (Entry("traffic", _traffic(plan, spec)), *_wanted(spec))),
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


def _trial_cells(trial: PlannedTrial) -> list[str]:
    placement = trial.placement
    return [
        trial.candidate.instance_type,
        "\n".join(variables(trial.candidate.environment)),
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
        significant(row.max_invocations_per_min),
    ]


def _type_cells(kind: InstanceType, price_per_hour_usd: float | None) -> list[str]:
    accelerator = f"{kind.accelerator_count or 1} x {kind.accelerator}" if kind.accelerator else ""
    return [
        kind.name,
        str(kind.vcpus),
        significant(kind.memory_gib),
        accelerator or ABSENT,
        usd(price_per_hour_usd),
        ABSENT if price_per_hour_usd is None else kind.price_basis or ABSENT,
        kind.processor or ABSENT,
    ]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Fitted to a terminal, long cells folded; elsewhere one line a row."""
    if width is None:
        return "\n".join(aligned(headers, rows))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for header in headers:
        table.add_column(Text(header, "bold"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell or ABSENT) for cell in row))
    return drawn(table, width)

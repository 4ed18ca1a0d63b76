"""The ranked table, and cost against latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rightsizer.analysis.figures import Interval
from rightsizer.analysis.front import front
from rightsizer.candidates import differing
from rightsizer.recommendation import Recommendation
from rightsizer.report.columns import price_basis, tied
from rightsizer.report.entries import worst_first
from rightsizer.report.layout import own_command, variables
from rightsizer.report.page.axes import Axis
from rightsizer.report.page.charts import Point, scatter
from rightsizer.report.page.content import Figure, Table, drawing, row_name, stacked
from rightsizer.report.shared import shared_in
from rightsizer.results import Job
from rightsizer.units import (
    ABSENT,
    chance,
    counted,
    hourly_usd,
    interval,
    milliseconds,
    percent,
    significant,
    usd,
)

CANDIDATE = "InstanceType\nEnvironment\nProvenance"
COLUMNS: Sequence[tuple[str, Callable[[Recommendation], str]]] = (
    ("Initial-\nInstance-\nCount", lambda row: _count(row)),
    ("MaxInvocations\nper min, of the fleet\n95 % CI\nBottleneck", lambda row: _maximum(row)),
    ("Basis\nMaxKind\nStarts", lambda row: _kind(row)),
    ("ModelLatency\n95 % CI", lambda row: _latency(row)),
    ("CostPerHour\nCost a month\nPriceBasis", lambda row: _costs(row)),
    ("CostPerInference\n95 % CI\nat the target", lambda row: _inference(row)),
    ("PBest\nTied", lambda row: stacked(chance(row.p_best), tied(row))),
    ("Doubts\nof weight", lambda row: stacked(*_weighty(row))),
)


def ranked_table(job: Job) -> Table:
    """Every recommendation with its evidence, but for the variables that all candidates share."""
    shared = shared_in(job)
    rows = [
        [str(row.rank), _candidate(row, shared), *(cell(row) or ABSENT for _, cell in COLUMNS)]
        for row in job.recommendations
    ]
    return Table(["Rank", CANDIDATE, *(header for header, _ in COLUMNS)], rows)


def cost_against_latency(job: Job) -> Figure | None:
    """One point a recommendation that has both; None where none has."""
    rows = [
        row for row in job.recommendations if row.cost_per_inference_usd and row.model_latency_ms
    ]
    if not rows:
        return None
    points = [
        Point(
            row.cost_per_inference_usd or 0.0,
            row.model_latency_ms or 0.0,
            row.cost_per_inference_usd_ci,
            row.model_latency_ms_ci,
            str(row.rank),
        )
        for row in rows
    ]
    best = front([(point.x, point.y) for point in points])
    percentile, shared = rows[0].percentile, shared_in(job)
    left_out = len(job.recommendations) - len(rows)
    return Figure(
        title="Cost against latency",
        chart=drawing(
            scatter(
                f"Cost per inference against {percentile} latency, by rank",
                Axis("CostPerInference at full load, USD", usd, may_be_log=True),
                Axis(f"{percentile} latency, ms", may_be_log=True),
                points,
                best,
            )
        ),
        table=Table(
            ["Rank", "Candidate", "CostPerInference", "95 % CI", percentile, "95 % CI", "Front"],
            [
                [
                    str(row.rank),
                    row_name(row, shared),
                    usd(row.cost_per_inference_usd),
                    _usd_interval(row.cost_per_inference_usd_ci),
                    milliseconds(row.model_latency_ms),
                    interval(row.model_latency_ms_ci),
                    "yes" if place in best else "no",
                ]
                for place, row in enumerate(rows)
            ],
        ),
        note="Numbers are ranks; bars are 95 % intervals. The dashed line joins the Pareto front: "
        "candidates that no other beats in both cost and latency."
        + (f" Rows without a price or a latency, {left_out}, are not drawn." if left_out else ""),
    )


def _candidate(row: Recommendation, shared: Mapping[str, str]) -> str:
    own = [*variables(differing(row.environment, shared)), *own_command(row.command)]
    return stacked(row.instance_type, *own, row.provenance)


def _count(row: Recommendation) -> str:
    at_70 = row.fleet.instance_count_at_70_percent
    return stacked(str(row.fleet.instance_count), "" if at_70 is None else f"{at_70} if 70 % busy")


def _maximum(row: Recommendation) -> str:
    bound = "at least " if row.max_kind == "at_least" else ""
    busy = row.fleet.utilisation_at_target_ratio
    return stacked(
        bound + significant(row.fleet.max_invocations_per_min),
        _between(interval(row.fleet.max_invocations_per_min_ci)),
        "" if busy is None else f"{percent(busy)} busy at the target",
        "" if row.bottleneck is None else row.bottleneck.code,
    )


def _kind(row: Recommendation) -> str:
    return stacked(row.basis, row.max_kind, counted(row.starts, "start"))


def _latency(row: Recommendation) -> str:
    return stacked(
        f"{row.percentile} {milliseconds(row.model_latency_ms)}",
        _between(interval(row.model_latency_ms_ci)),
    )


def _costs(row: Recommendation) -> str:
    fleet = row.fleet
    if fleet.cost_per_hour_usd is None:
        return "no price"
    each = (hourly_usd(fleet.cost_per_hour_usd), f"{usd(fleet.cost_per_month_usd)} a month")
    return stacked(*each, f"price: {price_basis(row)}")


def _inference(row: Recommendation) -> str:
    if row.cost_per_inference_usd is None:
        return ABSENT
    at_target = row.fleet.cost_per_inference_at_target_usd
    return stacked(
        usd(row.cost_per_inference_usd),
        _between(_usd_interval(row.cost_per_inference_usd_ci)),
        "" if at_target is None else f"{usd(at_target)} at the target",
    )


def _weighty(row: Recommendation) -> list[str]:
    return [doubt.code for doubt in worst_first(row.doubts) if doubt.severity != "note"]


def _between(known: str) -> str:
    return "no interval" if known == ABSENT else known


def _usd_interval(ci: Interval | None) -> str:
    if ci is None or ci == (None, None):
        return ABSENT
    low, high = ci
    if low is None or high is None:
        return f"{usd(low)} or more" if high is None else f"up to {usd(high)}"
    return f"{usd(low)} to {usd(high)}"

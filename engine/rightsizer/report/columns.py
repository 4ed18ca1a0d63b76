"""The result table's columns, once for every form: the reference service's and the evidence's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rightsizer.candidates import differing
from rightsizer.recommendation import Recommendation
from rightsizer.report.entries import DOUBTS_A_ROW, worst_first
from rightsizer.report.layout import own_command, variables
from rightsizer.results import COLUMNS, Job, reference_row
from rightsizer.units import (
    ABSENT,
    chance,
    hourly_usd,
    interval,
    milliseconds,
    significant,
    usd,
)


@dataclass(frozen=True)
class Column:
    """A header and the text below it."""

    header: str
    cell: Callable[[Job, Recommendation], str]


_ENVIRONMENT = "EnvironmentParameters"
_REFERENCE: dict[str, Callable[[Any], str]] = {
    "CostPerHour": hourly_usd,
    "CostPerInference": usd,
    "EndpointName": str,
    "InitialInstanceCount": str,
    "InstanceType": str,
    "MaxInvocations": significant,
    "ModelLatency": milliseconds,
}


def _reference(header: str) -> Column:
    if header == _ENVIRONMENT:
        return Column(header, lambda job, row: _settings(row, {}))
    show = _REFERENCE[header]
    return Column(header, lambda job, row: show(reference_row(job, row)[header]))


def _settings(row: Recommendation, shared: Mapping[str, str]) -> str:
    """The variables but for shared ones, and the command of a candidate that brings its own."""
    own = variables(differing(row.environment, shared))
    return " ".join([*own, *own_command(row.command)]) or ABSENT


def fleet_interval(row: Recommendation) -> str:
    """The 95% interval of the fleet's maximum, as MaxInvocations is the fleet's."""
    return interval(row.fleet.max_invocations_per_min_ci)


def price_basis(row: Recommendation) -> str:
    """How far the price can be trusted, and of when it is; `-` where there is no price."""
    if row.price_per_hour_usd is None or not row.price_basis:
        return ABSENT
    return f"{row.price_basis}, {row.price_date}" if row.price_date else row.price_basis


def doubt_codes(row: Recommendation) -> str:
    """The most severe doubts' codes."""
    codes = [doubt.code for doubt in worst_first(row.doubts)[:DOUBTS_A_ROW]]
    return ", ".join(codes) or ABSENT


def count_at_70_percent(row: Recommendation) -> str:
    """The instances that carry the target at 70 % of their maxima; `-` without a target."""
    count = row.fleet.instance_count_at_70_percent
    return ABSENT if count is None else str(count)


def bottleneck(row: Recommendation) -> str:
    """What runs out first; `-` where that was not seen."""
    return ABSENT if row.bottleneck is None else row.bottleneck.code


def tied(row: Recommendation) -> str:
    """Whether the row cannot be separated from the best; `-` where that is not known."""
    return ABSENT if row.tied_with_best is None else "yes" if row.tied_with_best else "no"


RESULT_COLUMNS = (
    Column("Rank", lambda job, row: str(row.rank)),
    *(_reference(header) for header in COLUMNS),
    Column("Interval", lambda job, row: fleet_interval(row)),
    Column("MaxKind", lambda job, row: row.max_kind),
    Column("Basis", lambda job, row: row.basis),
    Column("Percentile", lambda job, row: row.percentile),
    Column("Provenance", lambda job, row: row.provenance),
    Column("PriceBasis", lambda job, row: price_basis(row)),
    Column("CostPerMonth", lambda job, row: usd(row.fleet.cost_per_month_usd)),
    Column("CostPerMillion", lambda job, row: usd(row.cost_per_million_inferences_usd)),
    Column("CountAt70Percent", lambda job, row: count_at_70_percent(row)),
    Column("Bottleneck", lambda job, row: bottleneck(row)),
    Column("PBest", lambda job, row: chance(row.p_best)),
    Column("Tied", lambda job, row: tied(row)),
    Column("Doubts", lambda job, row: doubt_codes(row)),
)


def result_cells(job: Job, shared: Mapping[str, str]) -> list[list[str]]:
    """The recommendations as rows of text, their environments without the `shared` variables."""
    return [
        [
            _settings(row, shared) if column.header == _ENVIRONMENT else column.cell(job, row)
            for column in RESULT_COLUMNS
        ]
        for row in job.recommendations
    ]

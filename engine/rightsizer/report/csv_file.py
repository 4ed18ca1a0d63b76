"""The recommendations as CSV: the reference's columns, then the evidence; numbers unrounded."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from io import StringIO
from typing import Any

from rightsizer.recommendation import Recommendation
from rightsizer.results import COLUMNS, Job, reference_row

EVIDENCE_COLUMNS = (
    "Rank",
    "MaxInvocationsPerInstance",
    "MaxInvocationsPerInstanceLow",
    "MaxInvocationsPerInstanceHigh",
    "MaxKind",
    "Basis",
    "Percentile",
    "ModelLatencyLow",
    "ModelLatencyHigh",
    "UnloadedLatency",
    "Provenance",
    "PricePerHour",
    "PriceBasis",
    "CostPerInferenceLow",
    "CostPerInferenceHigh",
    "CostPerMonth",
    "CostPerInferenceAtTarget",
    "UtilisationAtTarget",
    "InstanceCountAt70Percent",
    "CpuUtilization",
    "MemoryUtilization",
    "PBest",
    "TiedWithBest",
    "Starts",
    "Doubts",
    "CostPerMillion",
    "Bottleneck",
)
"""What follows the reference's columns. Low and high are the ends of 95% intervals, utilisations
of CPU and memory 0 to 100, UtilisationAtTarget 0 to 1, doubts codes joined by `;`."""


def job_csv(job: Job) -> str:
    """One line a recommendation, best first; what is not known is empty."""
    out = StringIO()
    writer = csv.DictWriter(out, (*COLUMNS, *EVIDENCE_COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in job.recommendations:
        reference = reference_row(job, row)
        # JSON, for values may hold any character.
        environment = json.dumps(reference["EnvironmentParameters"])
        writer.writerow({**reference, "EnvironmentParameters": environment, **_evidence(row)})
    return out.getvalue()


def _evidence(row: Recommendation) -> Mapping[str, Any]:
    low, high = row.max_invocations_per_min_ci or (None, None)
    latency_low, latency_high = row.model_latency_ms_ci or (None, None)
    cost_low, cost_high = row.cost_per_inference_usd_ci or (None, None)
    fleet = row.fleet
    values = (
        row.rank,
        row.max_invocations_per_min,
        low,
        high,
        row.max_kind,
        row.basis,
        row.percentile,
        latency_low,
        latency_high,
        row.unloaded_latency_ms,
        row.provenance,
        row.price_per_hour_usd,
        row.price_basis,
        cost_low,
        cost_high,
        fleet.cost_per_month_usd,
        fleet.cost_per_inference_at_target_usd,
        fleet.utilisation_at_target_ratio,
        fleet.instance_count_at_70_percent,
        row.cpu_utilization_percent,
        row.memory_utilization_percent,
        row.p_best,
        row.tied_with_best,
        row.starts,
        ";".join(doubt.code for doubt in row.doubts),
        row.cost_per_million_inferences_usd,
        None if row.bottleneck is None else row.bottleneck.code,
    )
    return dict(zip(EVIDENCE_COLUMNS, values, strict=True))

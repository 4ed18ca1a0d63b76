"""The JSON document `rightsizer/measurement/1`: every number unrounded."""

from __future__ import annotations

from typing import Any

from rightsizer.measured import Measured
from rightsizer.report.document import plain, step_document

MEASUREMENT_SCHEMA = "rightsizer/measurement/1"

_AS_THEY_ARE = (
    "verdict",
    "basis",
    "max_invocations_per_min",
    "max_invocations_per_min_ci",
    "max_kind",
    "invocations_per_min",
    "percentile",
    "latency_ms",
    "latency_ms_ci",
    "unloaded_latency_ms",
    "fleet",
    "requests",
)


def measurement_document(measured: Measured) -> dict[str, Any]:
    """A measurement as JSON-safe values: what `measure --json` writes."""
    return {
        "schema": MEASUREMENT_SCHEMA,
        "url": measured.url,
        "traffic": measured.traffic,
        "limit": plain(measured.limit.model_dump()),
        **{name: plain(getattr(measured, name)) for name in _AS_THEY_ARE},
        "steps": [step_document(step) for step in measured.steps],
        "doubts": plain(measured.doubts),
        "samples": measured.samples,
        "wall_s": plain(measured.wall_s),
    }

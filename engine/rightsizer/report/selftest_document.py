"""The JSON document `rightsizer/selftest/1`: every number unrounded."""

from __future__ import annotations

from typing import Any

from rightsizer.calibration.judging import Check
from rightsizer.report.document import plain
from rightsizer.selftesting.outcome import SelfTest

SELFTEST_SCHEMA = "rightsizer/selftest/1"


def selftest_document(found: SelfTest) -> dict[str, Any]:
    """A self-test as JSON-safe values: what `selftest --json` writes."""
    placement = found.placement
    return {
        "schema": SELFTEST_SCHEMA,
        "judgement": found.judgement,
        "quick": found.quick,
        "stopped": found.stopped,
        "processor": found.processor,
        "generator_cpus": list(placement.generator_cpus),
        "server_cpus": list(placement.server_cpus),
        "co_located": placement.co_located,
        "checks": [_check(check) for check in found.checks],
        "claims": plain(found.claims),
        "samples": found.samples,
        "wall_s": plain(found.wall_s),
    }


def _check(check: Check) -> dict[str, Any]:
    figures = plain(check.figures)
    if figures is not None:
        # What is computed from the fields belongs to the figures.
        derived = [k for k, v in vars(type(check.figures)).items() if isinstance(v, property)]
        figures |= {name: plain(getattr(check.figures, name)) for name in derived}
    return {
        "name": check.name,
        "of": check.of,
        "judgement": check.judgement,
        "says": check.says,
        "figures": figures,
    }

"""Where errors, not latency, set a maximum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis.maximum import is_set_by_errors
from rightsizer.spec import LimitSpec

from ..report.jobs import measured

LIMIT = LimitSpec(latency_ms=250.0, max_error_ratio=0.01)
STEP = replace(measured(1, {}, 500.0).steps[0], mode="open", rate_per_s=9.0, latency_ms=200.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"error_ratio": 0.006}, True),
        ({"error_ratio": 0.004}, False),
        # over its latency anyway
        ({"error_ratio": 0.2, "latency_ms": 300.0}, False),
        ({"error_ratio": 0.006, "verdict": "invalid"}, False),
        ({"error_ratio": 0.006, "mode": "closed"}, False),
    ],
)
def test_errors_near_their_limit_set_a_maximum_where_the_latency_is_within_its_own(changes, told):
    assert is_set_by_errors([replace(STEP, **changes)], LIMIT) is told

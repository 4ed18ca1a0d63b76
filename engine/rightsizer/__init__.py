"""Rightsizer: load testing that recommends the cheapest way to serve a model within a limit.

    import rightsizer

    job = rightsizer.run("job.yaml")
    print(job.best, job.frame())

`run` and `resume` measure, `load` reads a stored job, `what_if` ranks it anew under another
question. All four return a `Job`. `ab` measures two jobs against each other and `compare` does so
with stored ones; both return a `Compared`. `measure` measures a server that already runs, and
returns a `Measured`. `selftest` measures the instrument itself, and
returns a `SelfTest`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rightsizer.ab_run import ab
    from rightsizer.compared import Compared
    from rightsizer.comparisons import compare
    from rightsizer.errors import EnvironmentFault, InputError, RightsizerError
    from rightsizer.jobs import resume, run
    from rightsizer.loading import load
    from rightsizer.measured import Measured
    from rightsizer.measurement import measure
    from rightsizer.recommendation import Recommendation
    from rightsizer.results import Job
    from rightsizer.selftesting.outcome import SelfTest
    from rightsizer.selftesting.sequence import selftest
    from rightsizer.what_ifs import what_if

_HOMES = {
    "Compared": "rightsizer.compared",
    "EnvironmentFault": "rightsizer.errors",
    "InputError": "rightsizer.errors",
    "Job": "rightsizer.results",
    "Measured": "rightsizer.measured",
    "Recommendation": "rightsizer.recommendation",
    "RightsizerError": "rightsizer.errors",
    "SelfTest": "rightsizer.selftesting.outcome",
    "ab": "rightsizer.ab_run",
    "compare": "rightsizer.comparisons",
    "load": "rightsizer.loading",
    "measure": "rightsizer.measurement",
    "resume": "rightsizer.jobs",
    "run": "rightsizer.jobs",
    "selftest": "rightsizer.selftesting.sequence",
    "what_if": "rightsizer.what_ifs",
}

__all__ = [
    "Compared",
    "EnvironmentFault",
    "InputError",
    "Job",
    "Measured",
    "Recommendation",
    "RightsizerError",
    "SelfTest",
    "__version__",
    "ab",
    "compare",
    "load",
    "measure",
    "resume",
    "run",
    "selftest",
    "what_if",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `import rightsizer` alone stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rightsizer' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

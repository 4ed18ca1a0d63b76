"""Variables that all candidates have with one value: told once, not in each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from rightsizer.candidates import shared_variables
from rightsizer.report.layout import filled, variables
from rightsizer.results import Job

Environment = Mapping[str, str]


def shared_in(job: Job) -> Environment:
    """What all candidates of a job have in common, those that were not measured included."""
    return shared_by([*_asked(job), *_shown(job)])


def shared_by(candidates: Iterable[tuple[str, Environment]]) -> dict[str, str]:
    """What candidates have in common: instance types with environments, each given once or more."""
    every = {(name, frozenset(own.items())): own for name, own in candidates}
    return shared_variables(every.values())


def shared_line(shared: Environment, width: int | None = None) -> str:
    """`Every candidate has: A=1 B=1`, filled to a width where one is given; empty without any."""
    if not shared:
        return ""
    line = f"Every candidate has: {' '.join(variables(shared))}"
    return line if width is None else filled(line, width, "", "    ")


def _shown(job: Job) -> Iterator[tuple[str, Environment]]:
    """What is hidden in a row must be true of it, whatever the job asks for."""
    for row in job.recommendations:
        yield row.instance_type, row.environment
    for rejected in job.rejected:
        yield rejected.instance_type, rejected.environment
    for candidate in (one for trial in job.trials for one in trial.candidates):
        yield candidate.instance_type, candidate.environment


def _asked(job: Job) -> Iterator[tuple[str, Environment]]:
    for entry in job.spec.get("candidates", ()):
        swept = entry.get("environment", {})
        for values in product(*swept.values()):
            yield entry["instance_type"], dict(zip(swept, values, strict=True))

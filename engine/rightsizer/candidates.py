"""What a job compares: every combination of instance type and swept values. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal

from rightsizer.errors import ProblemsError
from rightsizer.spec import CandidateSpec, JobSpec

Stage = Literal["scout", "final"]
"""What a trial of a candidate is for: to be compared with all, or with those that may be best."""


@dataclass(frozen=True)
class Candidate:
    """Instance type and environment, and the server where the candidate brings its own."""

    id: str
    """A hash of the content: the same candidate has the same id in every job."""
    instance_type: str
    environment: Mapping[str, str]
    command: tuple[str, ...] | None = None
    image: str | None = None

    @property
    def label(self) -> str:
        """`local.1cpu OMP_NUM_THREADS=1`."""
        variables = " ".join(f"{key}={value}" for key, value in self.environment.items())
        own = f" [{' '.join(self.own_server)}]" if self.own_server else ""
        return f"{self.instance_type} {variables}".strip() + own

    @property
    def own_server(self) -> tuple[str, ...] | None:
        """What it brings instead of the job's server: image and command, as far as given."""
        return (*([self.image] if self.image else []), *(self.command or ())) or None


def expand(candidates: Sequence[CandidateSpec]) -> tuple[Candidate, ...]:
    """Every combination of the swept values, in the order written, the last variable fastest.

    Raises:
        ProblemsError: two entries give the same candidate.
    """
    found: dict[str, Candidate] = {}
    problems = []
    for number, spec in enumerate(candidates):
        for values in product(*spec.environment.values()):
            environment = dict(zip(spec.environment, values, strict=True))
            candidate = Candidate(
                id=hash_of([spec.instance_type, environment, spec.command, spec.image]),
                instance_type=spec.instance_type,
                environment=environment,
                command=spec.command,
                image=spec.image,
            )
            if candidate.id in found:
                problems.append(f"candidates[{number}] repeats {candidate.label}; remove one")
            found[candidate.id] = candidate
    if problems:
        raise ProblemsError(problems)
    return tuple(found.values())


def candidates_of(spec: JobSpec) -> tuple[tuple[Candidate, ...], list[str]]:
    """The candidates, counted before they are made, or what is wrong with them."""
    count = sum(prod(map(len, entry.environment.values())) for entry in spec.candidates)
    # A default job's were fitted to its trials; of types that are measured once all count there.
    if spec.type != "default" and count > spec.limits.max_trials:
        problem = (
            f"the sweep has {count} candidates and limits.max_trials is "
            f"{spec.limits.max_trials}; sweep fewer values or raise it"
        )
        return (), [problem]
    try:
        return expand(spec.candidates), []
    except ProblemsError as error:
        return (), list(error.problems)


def shared_variables(environments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What all of several candidates have with one value, in the order of the first.

    `environments`: one a candidate. Of a single one nothing is shared: it has no others.
    """
    first, *others = [*environments] or [{}]
    return {
        name: value
        for name, value in first.items()
        if others and all(other.get(name) == value for other in others)
    }


def differing(environment: Mapping[str, str], shared: Mapping[str, str]) -> dict[str, str]:
    """What is left of an environment without the variables that all candidates share."""
    return {name: value for name, value in environment.items() if name not in shared}


def hash_of(content: object) -> str:
    """An id: the same for the same content, in every job."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]

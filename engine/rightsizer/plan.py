"""A job's candidates and trials, worked out before anything is started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from rightsizer.catalog import Catalog, InstanceType
from rightsizer.containers import Container, EngineFacts, container_of, place_container
from rightsizer.errors import EnvironmentFault, ProblemsError
from rightsizer.inventory import HostSpec, Machine, Placement
from rightsizer.placing import NotRunnable, place, place_generator
from rightsizer.schedule import Step, steps_of
from rightsizer.spec import CandidateSpec, JobSpec, SaturateTraffic, SearchTraffic

START_S = 10.0
"""What a plan reckons for a server start, with probes and stop, in its expected time."""


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


@dataclass(frozen=True)
class PlannedTrial:
    """A candidate on a host that can run it."""

    id: str
    candidate: Candidate
    host: HostSpec
    placement: Placement
    container: Container | None = None
    """On a Docker host."""


@dataclass(frozen=True)
class Refusal:
    """A candidate that no host can run, and why."""

    id: str
    """That of the trial on the first host, which takes its place when the host can run it."""
    candidate: Candidate
    why: str


@dataclass(frozen=True)
class Plan:
    """What a job will do: countable and printable before anything starts."""

    trials: tuple[PlannedTrial, ...]
    refused: tuple[Refusal, ...]
    steps: tuple[Step, ...]
    """Empty for traffic that is decided as it goes."""
    traffic_s: float
    """Planned traffic of one trial, at the most."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate, runnable or not."""
        return (*(t.candidate for t in self.trials), *(r.candidate for r in self.refused))

    @property
    def expected_s(self) -> float:
        """Wall time of the whole job, roughly."""
        return len(self.trials) * (START_S + self.traffic_s)

    @property
    def generator_cpus(self) -> frozenset[int]:
        """The CPUs of the generators."""
        return frozenset(c for trial in self.trials for c in trial.placement.generator_cpus)

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs that the job will use on this machine."""
        return frozenset().union(*(trial.placement.cpus for trial in self.trials))

    @property
    def accelerators(self) -> frozenset[str]:
        """Ids of all accelerators that the job will use on this machine."""
        return frozenset().union(*(trial.placement.own_accelerators for trial in self.trials))


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
                id=_hash([spec.instance_type, environment, spec.command, spec.image]),
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


def _within(spec: JobSpec) -> tuple[tuple[Candidate, ...], list[str]]:
    """The candidates, counted before they are made, or what is wrong with them."""
    count = sum(prod(map(len, entry.environment.values())) for entry in spec.candidates)
    if count > spec.limits.max_trials:
        problem = (
            f"the sweep has {count} candidates and limits.max_trials is "
            f"{spec.limits.max_trials}; sweep fewer values or raise it"
        )
        return (), [problem]
    try:
        return expand(spec.candidates), []
    except ProblemsError as error:
        return (), list(error.problems)


def make_plan(
    spec: JobSpec,
    catalog: Catalog,
    hosts: Sequence[HostSpec],
    machine: Machine,
    taken: frozenset[int] = frozenset(),
    engines: Mapping[str, EngineFacts] | None = None,
) -> Plan:
    """Expand the sweep and give each candidate the first host that can run it.

    `taken` are the CPUs that other jobs hold; `engines` what the Docker hosts have, by host name.

    Raises:
        ProblemsError: more candidates than max_trials, or instance types nobody knows.
    """
    candidates, problems = _within(spec)
    for name in dict.fromkeys(candidate.instance_type for candidate in spec.candidates):
        if catalog.find(name) is None:
            problems.append(
                f"instance type {name} is not known; `rightsizer instance-types` lists them, "
                "a price file adds more"
            )
    if problems:
        raise ProblemsError(problems)
    trials, refused = [], []
    for candidate in candidates:
        kind = catalog.find(candidate.instance_type)
        assert kind is not None
        try:
            found = _host_for(candidate, kind, spec, hosts, machine, taken, engines or {})
        except NotRunnable as error:
            refused.append(Refusal(_trial_id(candidate, hosts[0]), candidate, str(error)))
            continue
        trials.append(PlannedTrial(_trial_id(candidate, found[0]), candidate, *found))
    steps = steps_of(spec.traffic)
    traffic_s = sum(step.duration_s for step in steps)
    if isinstance(spec.traffic, SaturateTraffic | SearchTraffic):
        traffic_s = spec.traffic.budget_s
    return Plan(tuple(trials), tuple(refused), steps, traffic_s)


def require_runnable(plan: Plan) -> None:
    """Refuse a plan of which nothing can run.

    Raises:
        EnvironmentFault: with the first reason.
    """
    if plan.trials:
        return
    why = "; ".join(dict.fromkeys(refusal.why for refusal in plan.refused))
    raise EnvironmentFault("no host can run any candidate", why)


def _host_for(
    candidate: Candidate,
    kind: InstanceType,
    spec: JobSpec,
    hosts: Sequence[HostSpec],
    machine: Machine,
    taken: frozenset[int],
    engines: Mapping[str, EngineFacts],
) -> tuple[HostSpec, Placement, Container | None]:
    # A candidate's own image stands for the server's command too.
    shared = spec.server.command or spec.server.url
    has_command = candidate.command or (shared and not candidate.image)
    reasons = []
    for host in hosts:
        try:
            if host.kind == "process" and not has_command:
                raise NotRunnable(
                    "an image needs a docker host; give a hosts file with one, or a command"
                )
            if spec.server.url:
                return host, place_generator(host, machine, taken), None
            if host.kind == "process":
                return host, place(kind, host, machine, taken), None
            engine = engines[host.name]
            container = container_of(spec.server, candidate.command, candidate.image, host, engine)
            placement = place_container(kind, host, machine, engine, container, taken)
            return host, placement, container
        except NotRunnable as error:
            reasons.append(f"{host.name}: {error}" if len(hosts) > 1 else str(error))
    raise NotRunnable("; ".join(reasons))


def _trial_id(candidate: Candidate, host: HostSpec) -> str:
    return _hash([candidate.id, host.name])


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]

"""A job's trials and where each can run, worked out before anything is started. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rightsizer.addresses import is_far
from rightsizer.candidates import Candidate, candidates_of, hash_of
from rightsizer.catalog import Catalog, InstanceType
from rightsizer.containers import Container, EngineFacts, container_of, place_container
from rightsizer.errors import EnvironmentFault, ProblemsError
from rightsizer.inventory import HostSpec
from rightsizer.machines import Machine, Placement
from rightsizer.needs import need
from rightsizer.placing import NotRunnable, place, place_generator
from rightsizer.plan import USUAL_FINALISTS, USUAL_STARTS, Plan, PlannedTrial, Refusal
from rightsizer.schedule import steps_of
from rightsizer.spec import JobSpec, SaturateTraffic, SearchTraffic


def make_plan(
    spec: JobSpec,
    catalog: Catalog,
    hosts: Sequence[HostSpec],
    machine: Machine,
    taken: frozenset[int] = frozenset(),
    engines: Mapping[str, EngineFacts] | None = None,
) -> Plan:
    """Expand the sweep and give each candidate the hosts that can run it.

    `taken` are the CPUs that other jobs hold; `engines` what the Docker hosts have, by host name.

    Raises:
        ProblemsError: more candidates than max_trials, or instance types nobody knows.
    """
    candidates, problems = candidates_of(spec)
    for name in dict.fromkeys(candidate.instance_type for candidate in spec.candidates):
        if catalog.find(name) is None:
            problems.append(
                f"instance type {name} is not known; `rightsizer instance-types` lists them, "
                "a price file adds more"
            )
    if problems:
        raise ProblemsError(problems)
    trials: list[PlannedTrial] = []
    refused: list[Refusal] = []
    at_once = min(spec.limits.max_parallel_trials, len(hosts))
    busy = {host.name: taken for host in hosts}
    if at_once > 1:
        busy = _kept_apart(hosts, machine, taken)
    for candidate in candidates:
        kind = catalog.find(candidate.instance_type)
        assert kind is not None
        options: list[PlannedTrial] = []
        reasons: list[str] = []
        for host in hosts:
            try:
                found = _on(host, candidate, kind, spec, machine, busy[host.name], engines or {})
                _require_same_image(found[1], options)
            except NotRunnable as error:
                reasons.append(f"{host.name}: {error}" if len(hosts) > 1 else str(error))
                continue
            first = options[0].id if options else _trial_id(candidate, host)
            options.append(PlannedTrial(first, candidate, host, *found))
            if spec.server.url:
                break  # the server is where it is, whichever host is asked
        if options:
            trials.append(replace(options[0], elsewhere=tuple(options[1:])))
        else:
            refused.append(Refusal(_trial_id(candidate, hosts[0]), candidate, "; ".join(reasons)))
    if not spec.server.url:  # whose types nothing here tells
        trials = _measured_once(trials)
    steps = steps_of(spec.traffic)
    traffic_s = sum(step.duration_s for step in steps)
    if isinstance(spec.traffic, SaturateTraffic | SearchTraffic):
        traffic_s = spec.traffic.budget_s
    plan = Plan(tuple(trials), tuple(refused), steps, traffic_s, at_once)
    _require_time(plan, spec)
    return _with_finals(plan, spec)


def _with_finals(plan: Plan, spec: JobSpec) -> Plan:
    """The usual finals of a race, as far as trials and time allow, and what all would take."""
    most, allowed_s = spec.limits.max_trials, spec.limits.duration_s
    usual = USUAL_FINALISTS * USUAL_STARTS if plan.races else 0
    scouts = len(plan.trials) + len(plan.refused)
    rounds = math.floor((allowed_s - plan.scouting_s) / plan.final_s + 1e-9)
    return replace(
        plan,
        finals=max(0, min(usual, most - scouts, rounds * plan.at_once)),
        allowed_s=allowed_s,
        needs=(
            *need("limits.max_trials", most, scouts + usual),
            *need("limits.duration_s", allowed_s, replace(plan, finals=usual).expected_s),
        ),
    )


def _require_time(plan: Plan, spec: JobSpec) -> None:
    """Refuse a race that cannot even come to every candidate once.

    Raises:
        ProblemsError: saying what it would take.
    """
    rounds = math.ceil(len(plan.trials) / plan.at_once)
    least_s = rounds * plan.scout_traffic_s
    if plan.races and least_s > spec.limits.duration_s:
        raise ProblemsError(
            [
                f"limits.duration_s of {spec.limits.duration_s:g} cannot measure "
                f"{len(plan.trials)} candidates once ({least_s:g} s of traffic); allow more, or "
                "lower traffic.budget_s"
            ]
        )


def require_runnable(plan: Plan) -> None:
    """Refuse a plan of which nothing can run.

    Raises:
        EnvironmentFault: with the first reason.
    """
    if plan.trials:
        return
    why = "; ".join(dict.fromkeys(refusal.why for refusal in plan.refused))
    raise EnvironmentFault("no host can run any candidate", why)


def _measured_once(trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
    """Trials that differ in nothing but the instance type's name, as one with its twins."""
    found: list[PlannedTrial] = []
    for trial in trials:
        place = next((i for i, one in enumerate(found) if _same_but_for_type(one, trial)), None)
        if place is None:
            found.append(trial)
        else:
            twins = (*found[place].twins, trial.candidate)
            options = found[place].elsewhere
            found[place] = replace(
                found[place],
                twins=twins,
                elsewhere=tuple(replace(option, twins=twins) for option in options),
            )
    return found


def _same_but_for_type(one: PlannedTrial, other: PlannedTrial) -> bool:
    def rest(trial: PlannedTrial) -> object:
        candidate = trial.candidate
        where = [(o.host.name, o.placement, o.container) for o in trial.options]
        return dict(candidate.environment), candidate.own_server, where

    return rest(one) == rest(other)


def _kept_apart(
    hosts: Sequence[HostSpec], machine: Machine, taken: frozenset[int]
) -> dict[str, frozenset[int]]:
    """For each host the CPUs of this machine that it must not use, where trials run at once.

    Every host's generator gets cores that no other host uses. Where there are too few, with one
    left for servers here, the hosts share them, and take turns.
    """
    servers_here = any(host.kind == "process" or not is_far(host.address or "") for host in hosts)
    own: dict[str, frozenset[int]] = {}
    for host in hosts:
        others = taken.union(*own.values())
        free = sum(not others.issuperset(core) for core in machine.cores)
        try:
            apart = others if free > servers_here else taken
            own[host.name] = frozenset(place_generator(host, machine, apart).generator_cpus)
        except NotRunnable:  # CPUs that the hosts file names are taken: the plan will say so
            own[host.name] = frozenset()
    return {host.name: taken.union(*own.values()) - own[host.name] for host in hosts}


def _on(
    host: HostSpec,
    candidate: Candidate,
    kind: InstanceType,
    spec: JobSpec,
    machine: Machine,
    taken: frozenset[int],
    engines: Mapping[str, EngineFacts],
) -> tuple[Placement, Container | None]:
    """How a host would run a candidate; raises NotRunnable."""
    # A candidate's own image stands for the server's command too.
    shared = spec.server.command or spec.server.url
    has_command = candidate.command or (shared and not candidate.image)
    if host.kind == "process" and not has_command:
        raise NotRunnable("an image needs a docker host; give a hosts file with one, or a command")
    if spec.server.url:
        return place_generator(host, machine, taken), None
    if host.kind == "process":
        return place(kind, host, machine, taken), None
    engine = engines[host.name]
    container = container_of(spec.server, candidate.command, candidate.image, host, engine)
    return place_container(kind, host, machine, engine, container, taken), container


def _require_same_image(container: Container | None, options: Sequence[PlannedTrial]) -> None:
    """Refuse a host whose image of the same name is another; raises NotRunnable."""
    for option in options:
        if container and option.container and container.content != option.container.content:
            image, first = container.image, option.host.name
            raise NotRunnable(f"image {image} is another there than on {first}; copy it again")


def _trial_id(candidate: Candidate, host: HostSpec) -> str:
    return hash_of([candidate.id, host.name])

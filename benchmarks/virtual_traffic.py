"""Steps driven in virtual time: a truth server's answers as samples, through the engine's own
search and analysis. Nothing between the samples and the maximum is the benchmark's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from rightsizer.analysis.figures import Maximum, StepFigures
from rightsizer.analysis.maximum import open_maximum
from rightsizer.analysis.steps import Conditions, judge_steps
from rightsizer.analysis.windows import latencies_so_far
from rightsizer.samples import DTYPE, Outcome, Samples
from rightsizer.schedule import Step, arrivals
from rightsizer.search_maximum import MaximumSearch
from rightsizer.spec import LimitSpec, SearchTraffic
from rightsizer.traffic.records import StepRecord
from rightsizer.units import NS_PER_S
from truth_servers import Server

LOOK_S = 0.5
"""How often the engine hears of a running step."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Case:
    """A server of a given speed, and what is asked of it."""

    server: Server
    service_s: float
    limit: LimitSpec
    seed: int
    generator_per_s: float = math.inf
    """Requests that fill the generator's core."""


def search(
    case: Case, budget_s: float, traffic: SearchTraffic | None = None
) -> tuple[Maximum | None, list[StepFigures]]:
    """The whole search on one case; `traffic` where more than the budget is given."""
    policy = MaximumSearch(traffic or SearchTraffic(budget_s=budget_s), case.limit)
    conditions = Conditions(case.limit, TIMEOUT_S, ["x"], 1, 1, merges_short=False)
    rng = np.random.default_rng([case.seed, 1])
    now_s = 1.0 + 20.0 * rng.random()  # where in its period a pause finds us is chance
    steps: list[StepFigures] = []
    while (step := policy.ask()) is not None:
        samples = simulate(case, step, now_s, rng)
        record, samples = drive(policy, step, samples, now_s, conditions)
        driven_per_s = len(samples) / record.step.duration_s
        busy_ratio = min(1.0, driven_per_s / case.generator_per_s)
        record = replace(record, generator_cpu_ratio=busy_ratio)
        [figures] = judge_steps(samples, [record], [], conditions)
        policy.tell(figures)
        steps.append(figures)
        now_s = record.drained_ns / NS_PER_S + 0.01
    maximum, _ = open_maximum(steps, case.limit)
    return maximum, steps


def drive(
    policy: MaximumSearch, step: Step, samples: Samples, begin_s: float, conditions: Conditions
) -> tuple[StepRecord, Samples]:
    """Let the policy look at what has been answered so far, and end the step when it says so."""
    begin_ns = int(begin_s * NS_PER_S)
    end_s = step.duration_s
    if step.mode == "open":
        ends = samples["end_ns"]
        for elapsed_s in np.arange(LOOK_S, step.duration_s, LOOK_S).tolist():
            until_ns = begin_ns + int(elapsed_s * NS_PER_S)

            def seen(until_ns: int = until_ns) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
                return latencies_so_far(
                    samples[ends <= until_ns], step, conditions.limit.latency_ms or 0.0, TIMEOUT_S
                )

            if policy.look(elapsed_s, seen):
                end_s = elapsed_s
                break
    end_ns = begin_ns + int(end_s * NS_PER_S)
    samples = samples[samples["start_ns"] < end_ns]
    drained_ns = max(end_ns, int(samples["end_ns"].max(initial=end_ns)))
    record = StepRecord(
        step=replace(step, duration_s=end_s),
        begin_ns=begin_ns,
        end_ns=end_ns,
        drained_ns=drained_ns,
        committed=len(samples),
        complete=True,
        journal=(),
        generator_cpu_ratio=0.0,
    )
    return record, samples


def simulate(case: Case, step: Step, begin_s: float, rng: np.random.Generator) -> Samples:
    """The step's samples, were it driven to its planned end."""
    if step.mode == "open":
        starts = begin_s + np.fromiter(arrivals(step, case.seed), dtype=np.float64)
        ends = case.server.departures(starts, case.service_s, rng)
    else:
        users = step.users or 1
        starts, ends = case.server.loop(users, begin_s, step.duration_s, case.service_s, rng)
    samples = np.zeros(len(starts), dtype=DTYPE)
    samples["intended_ns"] = samples["start_ns"] = np.rint(starts * NS_PER_S)
    samples["end_ns"] = np.rint(ends * NS_PER_S)
    samples["step"] = step.index
    samples["outcome"] = Outcome.SUCCEEDED
    return samples

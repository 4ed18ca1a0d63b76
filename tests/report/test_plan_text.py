"""What `plan`, `list` and `instance-types` print."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.candidates import Candidate
from rightsizer.catalog import InstanceType, load_catalog
from rightsizer.inventory import THIS_MACHINE
from rightsizer.machines import Machine
from rightsizer.needs import Need
from rightsizer.plan import Plan, PlannedTrial, Refusal
from rightsizer.planning import make_plan
from rightsizer.report.plan_text import instance_types_table, jobs_table, plan_table
from rightsizer.results import JobLine
from rightsizer.schedule import closed_step
from rightsizer.spec import JobSpec

from .jobs import PLACEMENT, assert_golden, variables

SWEEP = [variables(threads, onednn) for threads in "12" for onednn in "01"]
SPEC = JobSpec.model_validate(
    {
        "name": "resnet50-threads",
        "server": {"command": ["serve"]},
        "payload": {"archive": "images.tar.gz"},
        "candidates": [{"instance_type": "local.1cpu"}],
        "traffic": {"type": "stairs", "users_per_step": 1, "steps": 3, "duration_s": 45.0},
        "limit": {"percentile": "P95", "latency_ms": 250.0},
        "target": {"invocations_per_min": 300.0},
    }
)
PLAN = Plan(
    trials=tuple(
        PlannedTrial(f"t{n}", Candidate(f"c{n}", "local.1cpu", swept), THIS_MACHINE, PLACEMENT)
        for n, swept in enumerate(SWEEP)
    ),
    refused=(
        Refusal(
            "r1",
            Candidate("c9", "local.8cpu", variables("8", "1")),
            "local.8cpu needs 8 CPUs and 2 may be used here",
        ),
    ),
    steps=tuple(closed_step(n, n + 1, 15.0) for n in range(3)),
    traffic_s=45.0,
)
JOBS = [
    JobLine(
        "resnet50-threads-1a2b3c4d",
        "resnet50-threads",
        "completed",
        "2025-11-23T09:30:00+00:00",
        4,
        3,
        "local.1cpu OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=1",
        834.2,
        "closed",
    ),
    JobLine(
        "other-0a0b0c0d", "other", "running", "2025-11-23T09:41:00+00:00", 2, 0, None, None, None
    ),
]


@pytest.mark.parametrize("width", [80, 120, None])
def test_the_demos_plan_reads_as_the_golden_one(width):
    assert_golden(f"plan_{width or 'plain'}.txt", plan_table(PLAN, SPEC, width) + "\n")


@pytest.mark.parametrize("width", [80, 120, None])
def test_stored_jobs_read_as_the_golden_list(width):
    assert_golden(f"list_{width or 'plain'}.txt", jobs_table(JOBS, width) + "\n")


def test_elsewhere_a_candidate_is_one_line():
    rows = plan_table(PLAN, SPEC, None).split("\n\n")[1].splitlines()
    cells = [re.split(r" {2,}", row) for row in rows]
    assert [len(row) for row in cells] == [6] * 5
    assert cells[1][1] == "OMP_NUM_THREADS=1 TF_ENABLE_ONEDNN_OPTS=0"


def test_a_candidate_that_cannot_run_says_why():
    text = plan_table(PLAN, SPEC, None)
    assert "\nCannot run:\n  local.8cpu OMP_NUM_THREADS=8 TF_ENABLE_ONEDNN_OPTS=1: " in text
    assert text.startswith("resnet50-threads: 5 candidates, 4 trials, about 3 min 40 s\n")


def test_a_server_that_shares_the_generators_core_is_told_beforehand():
    trial = replace(PLAN.trials[0], placement=replace(PLACEMENT, co_located=True))
    text = plan_table(replace(PLAN, trials=(trial, trial)), SPEC, None)
    assert text.count("  co-located: local.1cpu shares a physical core with the generator") == 1
    assert "co-located" not in plan_table(PLAN, SPEC, None)


def test_a_plan_of_nothing_has_no_empty_table():
    text = plan_table(replace(PLAN, trials=()), SPEC, 80)
    assert "InstanceType" not in text
    assert "1 candidate, 0 trials" in text


def test_traffic_decided_as_it_goes_says_so():
    spec = SPEC.model_copy(update={"traffic": SPEC.traffic.model_copy(update={"type": "saturate"})})
    text = plan_table(replace(PLAN, steps=(), traffic_s=60.0), spec, None)
    assert "traffic: saturate, levels chosen as it goes, at most 1 min 00 s in all" in text


def test_no_stored_jobs_say_how_to_get_one():
    assert jobs_table([], None) == "No jobs are stored. Next: rightsizer run JOB.yaml"


@pytest.mark.parametrize("width", [76, 80, 120])
def test_lists_fit_their_terminal(width):
    for text in (jobs_table(JOBS, width), plan_table(PLAN, SPEC, width), race(width)):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text


def test_instance_types_show_their_price_with_its_basis():
    intel = "Intel Skylake/Cascade Lake 8124M/8275CL"
    four = InstanceType("ml.g4dn.12xlarge", 48, 192.0, accelerator="T4", accelerator_count=4)
    rows = [
        (InstanceType("local.1cpu", 1, 11.7, processor="this machine"), None),
        (InstanceType("ml.c5.large", 2, 4.0, processor=intel, price_basis="corroborated"), 0.102),
        (four, 4.89),
    ]
    lines = instance_types_table(rows, None).splitlines()
    cells = [re.split(r" {2,}", line) for line in lines[1:]]
    assert cells[0] == ["local.1cpu", "1", "11.7", "-", "-", "-", "this machine"]
    assert cells[1][4:] == ["$0.102", "corroborated", intel]
    assert cells[2][3:5] == ["4 x T4", "$4.89"]
    narrow, wide = instance_types_table(rows, 80), instance_types_table(rows, 120)
    assert ("Processor" in narrow, "Processor" in wide) == (False, True)
    assert len(narrow.splitlines()) == len(wide.splitlines()) == 5


def test_a_job_longer_than_its_own_limit_is_said_before_it_runs() -> None:
    limits = SPEC.limits.model_copy(update={"duration_s": PLAN.expected_s - 1})
    plan = replace(PLAN, needs=(Need("limits.duration_s", 220),))
    text = plan_table(plan, SPEC.model_copy(update={"limits": limits}), None)
    assert "the last trials would not run; raise it to 220, or sweep less" in text
    assert "would not run" not in plan_table(PLAN, SPEC, None)


def race(width: int | None = None, **limits: float) -> str:
    """What is said of three candidates that are searched for a minute each."""
    swept = {"instance_type": "local.1cpu", "environment": {"A": ["1", "2", "3"]}}
    traffic = {"type": "search", "budget_s": 60.0}
    given = {**SPEC.model_dump(), "candidates": [swept], "traffic": traffic, "limits": limits}
    spec = JobSpec.model_validate(given)
    machine = Machine(((0,), (1,)), 2, 1 << 32, "a chip", "x86_64")
    plan = make_plan(spec, load_catalog(machine.size), [THIS_MACHINE], machine)
    return plan_table(plan, spec, width)


def test_a_race_says_what_it_takes_at_the_least_and_at_the_most():
    first = race().splitlines()[0]
    assert "3 trials and some 12 short finals, about 9 min 30 s if one is clearly the best" in first
    assert first.endswith("at most 2 h 00 min")
    assert "server start: reckoned at 10 s with calibration; slower ones" in race()
    assert race(duration_s=200.0).splitlines()[0].endswith("3 trials, at most 3 min 20 s")


def test_a_race_without_room_for_its_finals_names_the_limit_and_what_it_would_take():
    text = race(max_trials=5)
    assert (
        "Not to be separated:\n  limits.max_trials: of 5 trials 3 are the candidates' first: too "
        "few are left to tell the best apart; raise it to 15\n" in text
    )
    text = race(duration_s=240.0)
    assert (
        "Not to be separated:\n  limits.duration_s: of 4 min 00 s the candidates' first trials "
        "take about 3 min 30 s: too little is left to tell the best apart; raise it to 570\n"
        in text
    )
    assert "Too long" not in text
    text = race(duration_s=200.0, max_trials=5)
    assert "Too long:\n  limits.duration_s: the job may take 3 min 20 s, less than" in text
    assert "would not run; raise it to 570, or sweep less" in text
    assert text.count("raise it to 570") == 1
    assert "raise it to 15" in text
    assert "Not to be separated" not in race(duration_s=570.0, max_trials=15)


def test_the_accelerators_of_a_type_are_in_the_plan_with_the_word_that_none_was_tried():
    gpu = Accelerator("nvidia", "GPU-1", "Tesla T4", 15 << 30)
    placement = replace(PLACEMENT, accelerators=(gpu,))
    trial = replace(PLAN.trials[0], placement=placement)
    text = plan_table(replace(PLAN, trials=(trial,)), SPEC, None)
    assert "\nAccelerators:\n  local.1cpu: 1 x Tesla T4 (15 GiB)\n  untried: no GPU" in text
    assert "untried" not in plan_table(PLAN, SPEC, None)


def test_types_that_are_measured_as_one_are_told_in_the_plan():
    twin = replace(PLAN.trials[0].candidate, instance_type="ml.twin.large")
    plan = replace(PLAN, trials=(replace(PLAN.trials[0], twins=(twin,)),))
    said = plan_table(plan, SPEC, None)
    assert "Measured once" in said
    assert "stands for ml.twin.large too" in said


@pytest.mark.parametrize("width", [76, 80, 120])
def test_what_all_candidates_have_is_told_once_in_a_plan_and_no_name_is_broken(width):
    fixed = {"SERVER_INSTANCE_COUNT": "1", "SERVER_INTRA_OP_PARALLELISM": "1"}
    own = [{"SERVER_BATCH_TIMEOUT_MICROS": micros, "SERVER_BATCH": "8"} for micros in ("1", "5000")]
    plan = replace(
        PLAN,
        trials=tuple(
            replace(trial, candidate=replace(trial.candidate, environment={**fixed, **swept}))
            for trial, swept in zip(PLAN.trials, own, strict=False)
        ),
        refused=(replace(PLAN.refused[0], candidate=Candidate("r", "local.8cpu", fixed)),),
    )
    text = plan_table(plan, SPEC, width)
    assert max(map(len, text.splitlines())) <= width
    assert "Every candidate has: SERVER_INSTANCE_COUNT=1" in text
    assert [text.count(f"{name}=1") for name in fixed] == [1, 1]
    assert "\n  local.8cpu: local.8cpu needs 8 CPUs" in text
    assert text.count("SERVER_BATCH_TIMEOUT_MICROS=5000") == 1
    plain = plan_table(plan, SPEC, None)
    assert "\nEvery candidate has: SERVER_INSTANCE_COUNT=1 SERVER_INTRA_OP_PARALLELISM=1\n" in plain
    row = "SERVER_INSTANCE_COUNT=1 SERVER_INTRA_OP_PARALLELISM=1 SERVER_BATCH_TIMEOUT_MICROS=5000"
    assert f"local.1cpu    {row} SERVER_BATCH=8 " in plain

"""Which trial starts next, and on which host."""

from __future__ import annotations

from dataclasses import replace

from rightsizer.accelerators import Accelerator
from rightsizer.assignment import next_start
from rightsizer.candidates import Candidate
from rightsizer.inventory import HostSpec
from rightsizer.machines import Placement
from rightsizer.plan import PlannedTrial


def on(name: str, *hosts: tuple[str, tuple[int, ...]]) -> PlannedTrial:
    """A trial that each of the hosts can run, on CPUs of this machine."""
    options = [
        PlannedTrial(
            name,
            Candidate(name, "local.1cpu", {}),
            HostSpec(name=host),
            Placement(cpus, (), "native", 1),
        )
        for host, cpus in hosts
    ]
    return replace(options[0], elsewhere=tuple(options[1:]))


A, B, C = (0,), (1,), (2,)


def started(option: PlannedTrial | None) -> tuple[str, str] | None:
    return None if option is None else (option.id, option.host.name)


def test_the_first_trial_goes_to_its_first_host():
    waiting = [on("one", ("a", A), ("b", B)), on("two", ("a", A))]
    assert started(next_start(waiting, [])) == ("one", "a")


def test_a_host_runs_one_trial_at_a_time():
    waiting = [on("two", ("a", A), ("b", B))]
    assert started(next_start(waiting, [on("one", ("a", A))])) == ("two", "b")
    assert next_start(waiting, [on("one", ("a", A)), on("other", ("b", B))]) is None


def test_a_trial_that_must_wait_lets_the_next_go_first():
    waiting = [on("two", ("a", A)), on("three", ("b", B))]
    assert started(next_start(waiting, [on("one", ("a", A))])) == ("three", "b")


def test_hosts_that_share_cpus_here_take_turns():
    assert next_start([on("two", ("b", A))], [on("one", ("a", A))]) is None


def test_hosts_that_share_an_accelerator_here_take_turns_and_far_ones_have_their_own():
    def with_gpu(trial: PlannedTrial, far: bool = False) -> PlannedTrial:
        gpu = (Accelerator("nvidia", "GPU-1"),)
        return replace(trial, placement=replace(trial.placement, accelerators=gpu, far=far))

    running, waiting = on("one", ("a", A)), on("two", ("b", B))
    assert next_start([with_gpu(waiting)], [with_gpu(running)]) is None
    assert started(next_start([waiting], [with_gpu(running)])) == ("two", "b")
    assert started(next_start([with_gpu(waiting, far=True)], [with_gpu(running)])) == ("two", "b")


def test_a_lost_host_is_passed_over():
    waiting = [on("one", ("a", A), ("c", C)), on("two", ("a", A))]
    assert started(next_start(waiting, [], ["a"])) == ("one", "c")
    assert next_start(waiting[1:], [], ["a"]) is None


def test_where_nothing_waits_nothing_starts():
    assert next_start([], []) is None

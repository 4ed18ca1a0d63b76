"""Candidates and trials, worked out before anything is started."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.candidates import Candidate, expand
from rightsizer.catalog import Catalog, MachineSize, load_catalog
from rightsizer.containers import EngineFacts, ImageFacts
from rightsizer.errors import EnvironmentFault, ExitCode, ProblemsError
from rightsizer.inventory import THIS_MACHINE, HostSpec, Provided
from rightsizer.machines import Machine
from rightsizer.needs import Need
from rightsizer.plan import Plan
from rightsizer.planning import make_plan, require_runnable
from rightsizer.spec import CandidateSpec, JobSpec
from rightsizer.units import BYTES_PER_GIB

# Four physical cores of two threads each.
MACHINE = Machine(
    cores=((0, 4), (1, 5), (2, 6), (3, 7)),
    cpu_count=8,
    memory_bytes=16 * BYTES_PER_GIB,
    processor="AMD EPYC 7R32",
    architecture="x86_64",
    threads_per_core=2,
)
CATALOG = load_catalog(MachineSize(MACHINE.cpu_count, MACHINE.memory_bytes))


def job(*candidates: dict, server: dict | None = None, **more: object) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "a",
            "server": server or {"command": ["serve", "{port}"]},
            "payload": {"archive": "images.tar.gz"},
            "candidates": list(candidates),
            "traffic": {"type": "users", "users": 1, "duration_s": 60.0},
            **more,
        }
    )


def plan_of(spec: JobSpec, hosts: tuple[HostSpec, ...] = (THIS_MACHINE,), **more: object) -> Plan:
    return make_plan(spec, CATALOG, hosts, MACHINE, **more)


def refusal(spec: JobSpec, catalog: Catalog = CATALOG) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        make_plan(spec, catalog, (THIS_MACHINE,), MACHINE)
    assert caught.value.exit_code == ExitCode.INPUT
    return str(caught.value).splitlines()


def swept(instance_type: str, **environment: list[str]) -> CandidateSpec:
    return CandidateSpec.model_validate(
        {"instance_type": instance_type, "environment": environment}
    )


# -- candidates --------------------------------------------------------------------------------


def test_every_combination_is_a_candidate_in_the_order_written_the_last_variable_fastest():
    found = expand([swept("local.1cpu", B=["2", "1"], A=["0", "1"]), swept("local.2cpu")])
    assert [candidate.label for candidate in found] == [
        "local.1cpu B=2 A=0",
        "local.1cpu B=2 A=1",
        "local.1cpu B=1 A=0",
        "local.1cpu B=1 A=1",
        "local.2cpu",
    ]
    assert len({candidate.id for candidate in found}) == 5


def test_a_candidate_keeps_its_id_wherever_it_stands():
    (alone,) = expand([swept("local.1cpu", A=["1"], B=["2"])])
    among = expand([swept("local.2cpu"), swept("local.1cpu", B=["3", "2"], A=["1"])])
    # the order in which variables are written does not matter either
    assert [candidate.id == alone.id for candidate in among] == [False, False, True]


@pytest.mark.parametrize(
    "other",
    [
        # another type, value, name, or one variable more
        {"instance_type": "local.2cpu", "environment": {"A": ["1"]}},
        {"instance_type": "local.1cpu", "environment": {"A": ["01"]}},
        {"instance_type": "local.1cpu", "environment": {"B": ["1"]}},
        {"instance_type": "local.1cpu", "environment": {"A": ["1"], "B": [""]}},
        # its own server
        {"instance_type": "local.1cpu", "environment": {"A": ["1"]}, "command": ["x"]},
        {"instance_type": "local.1cpu", "environment": {"A": ["1"]}, "image": "x"},
    ],
)
def test_a_candidates_id_is_of_its_whole_content(other):
    first, second = expand([swept("local.1cpu", A=["1"]), CandidateSpec.model_validate(other)])
    assert first.id != second.id


def test_ids_are_the_same_in_every_run_of_the_engine():
    # written out: a stored job is resumed by these
    (candidate,) = expand([swept("local.1cpu", OMP_NUM_THREADS=["1"])])
    assert candidate.id == "d93a0d9ada2d"
    (trial,) = plan_of(
        job({"instance_type": "local.1cpu", "environment": {"OMP_NUM_THREADS": "1"}})
    ).trials
    assert trial.candidate == candidate
    assert trial.id == "c76d4c10fb1b"


def test_two_entries_that_give_the_same_candidate_are_refused():
    twice = [swept("local.1cpu", A=["1", "2"]), swept("local.1cpu", A=["2", "3", "1"])]
    with pytest.raises(ProblemsError) as caught:
        expand(twice)
    assert str(caught.value).splitlines() == [
        "candidates[1] repeats local.1cpu A=2; remove one",
        "candidates[1] repeats local.1cpu A=1; remove one",
    ]


# -- refusals ----------------------------------------------------------------------------------

SWEEP = {"A": ["1", "2", "3"], "B": ["1", "2"]}


def test_a_sweep_beyond_max_trials_is_refused_with_both_numbers():
    spec = job({"instance_type": "local.1cpu", "environment": SWEEP}, limits={"max_trials": 5})
    assert refusal(spec) == [
        "the sweep has 6 candidates and limits.max_trials is 5; sweep fewer values or raise it"
    ]


def test_a_sweep_of_exactly_max_trials_is_planned():
    spec = job({"instance_type": "local.1cpu", "environment": SWEEP}, limits={"max_trials": 6})
    assert len(plan_of(spec).trials) == 6


def test_a_sweep_of_10_to_the_12_candidates_is_refused_without_being_made():
    values = [str(i) for i in range(1000)]
    spec = job({"instance_type": "local.1cpu", "environment": dict.fromkeys("ABCD", values)})
    (problem,) = refusal(spec)
    assert problem.startswith("the sweep has 1000000000000 candidates and limits.max_trials is 20")


def test_every_unknown_instance_type_is_told_once_with_the_sweeps_size():
    spec = job(
        {"instance_type": "ml.m5.tiny", "environment": SWEEP},
        {"instance_type": "local.1cpu"},
        {"instance_type": "rack.1"},
        limits={"max_trials": 7},
    )
    assert refusal(spec) == [
        "the sweep has 8 candidates and limits.max_trials is 7; sweep fewer values or raise it",
        "instance type ml.m5.tiny is not known; `rightsizer instance-types` lists them, "
        "a price file adds more",
        "instance type rack.1 is not known; `rightsizer instance-types` lists them, "
        "a price file adds more",
    ]


def test_a_repeated_candidate_and_an_unknown_type_are_told_together():
    spec = job(
        {"instance_type": "nope", "environment": {"A": ["1", "2"]}},
        {"instance_type": "nope", "environment": {"A": "2"}},
    )
    assert [line.split(";")[0] for line in refusal(spec)] == [
        "candidates[1] repeats nope A=2",
        "instance type nope is not known",
    ]


# -- placing -----------------------------------------------------------------------------------


def test_a_plan_gives_each_candidate_a_host_and_cpus():
    plan = plan_of(job({"instance_type": "local.2cpu", "environment": {"A": ["1", "2"]}}))
    assert [trial.candidate.environment for trial in plan.trials] == [{"A": "1"}, {"A": "2"}]
    for trial in plan.trials:
        assert trial.host == THIS_MACHINE
        assert trial.placement.generator_cpus == (0, 4)
        assert trial.placement.server_cpus == (1, 2)
        assert trial.placement.memory_bytes == 4 * BYTES_PER_GIB
        assert trial.placement.provenance == "native"
    assert plan.cpus == {0, 1, 2, 4}
    assert plan.refused == ()


def test_a_candidate_that_no_host_can_run_is_refused_with_the_reason_and_the_others_go_on():
    plan = plan_of(
        job({"instance_type": "local.9cpu"}, {"instance_type": "local.1cpu"}),
    )
    assert [trial.candidate.instance_type for trial in plan.trials] == ["local.1cpu"]
    (refused,) = plan.refused
    assert refused.candidate.instance_type == "local.9cpu"
    assert refused.why == "local.9cpu needs 9 CPUs and 8 may be used here"
    assert [c.instance_type for c in plan.candidates] == ["local.1cpu", "local.9cpu"]
    require_runnable(plan)


def test_a_candidate_goes_to_the_first_host_that_can_run_it():
    small = HostSpec(name="small", server_cpus="1")
    large = HostSpec(name="large")
    plan = plan_of(
        job({"instance_type": "local.2cpu"}, {"instance_type": "local.1cpu"}), (small, large)
    )
    assert [(t.candidate.instance_type, t.host.name) for t in plan.trials] == [
        ("local.2cpu", "large"),
        ("local.1cpu", "small"),
    ]


def test_the_same_candidate_on_another_host_is_another_trial():
    spec = job({"instance_type": "local.1cpu"})
    ids = [plan_of(spec, (HostSpec(name=name),)).trials[0].id for name in ("a", "b", "a")]
    assert ids[0] == ids[2] != ids[1]


def test_where_several_hosts_refuse_each_reason_names_its_host():
    hosts = (HostSpec(name="small", server_cpus="1"), HostSpec(name="rack", kind="docker"))
    engines = {"rack": EngineFacts("unix:///docker.sock", fault="host rack: no engine answers")}
    (refused,) = plan_of(job({"instance_type": "local.2cpu"}), hosts, engines=engines).refused
    assert refused.why.startswith("small: local.2cpu needs 2 CPUs")
    assert "; rack: a command needs a process host; give an image" in refused.why


@pytest.mark.parametrize(
    ("server", "candidate", "runs"),
    [
        # the server's command serves every candidate
        ({"command": ["{port}"]}, {}, True),
        # a server that already runs needs none
        ({"url": "http://a/"}, {}, True),
        # the candidate's own command
        ({"image": "a"}, {"command": ["{port}"]}, True),
        # an image alone needs Docker
        ({"image": "a"}, {}, False),
        # a candidate's own image is not the server's command
        ({"command": ["{port}"]}, {"image": "b"}, False),
        # unless it brings a command too
        ({"command": ["{port}"]}, {"image": "b", "command": ["{port}"]}, True),
    ],
)
def test_a_process_host_runs_commands_and_not_images(server, candidate, runs):
    plan = plan_of(job({"instance_type": "local.1cpu", **candidate}, server=server))
    assert [len(plan.trials), len(plan.refused)] == ([1, 0] if runs else [0, 1])
    for refused in plan.refused:
        assert refused.why.startswith("an image needs a docker host")


def test_candidates_of_their_own_image_are_told_apart_by_it():
    assert Candidate("1", "local.1cpu", {}, image="a:1").label == "local.1cpu [a:1]"
    both = Candidate("1", "local.1cpu", {}, command=("serve", "x"), image="a:1")
    assert both.own_server == ("a:1", "serve", "x")
    assert Candidate("1", "local.1cpu", {}).own_server is None


def test_a_docker_host_runs_images_and_an_image_goes_past_a_process_host():
    engine = EngineFacts(
        "unix:///d.sock", 8, 16 * BYTES_PER_GIB, "x86_64", {"a:1": ImageFacts("sha256:1", "amd64")}
    )
    hosts = (THIS_MACHINE, HostSpec(name="rack", kind="docker"))
    spec = job({"instance_type": "local.1cpu"}, server={"image": "a:1", "protocol": "sagemaker"})
    (trial,) = plan_of(spec, hosts, engines={"rack": engine}).trials
    assert trial.host.name == "rack"
    assert trial.container is not None
    assert (trial.container.image, trial.container.image_id) == ("a:1", "sha256:1")


FAR = tuple(
    HostSpec(name=name, kind="docker", address=f"tcp://{name}:2376", publish=True) for name in "ab"
)
WITH_IMAGE = {"server": {"image": "a:1", "protocol": "sagemaker"}}


def far_engine(name: str, content: str = "c") -> EngineFacts:
    image = ImageFacts(f"sha256:{name}", "amd64", content=content)
    return EngineFacts(f"tcp://{name}:2376", 8, 16 * BYTES_PER_GIB, "x86_64", {"a:1": image})


def test_a_trial_knows_every_host_that_can_run_it_and_has_one_id_on_all():
    spec = job({"instance_type": "local.1cpu"}, **WITH_IMAGE)
    plan = plan_of(spec, FAR, engines={name: far_engine(name) for name in "ab"})
    (trial,) = plan.trials
    assert [option.host.name for option in trial.options] == ["a", "b"]
    assert len({option.id for option in trial.options}) == 1
    assert plan.at_once == 1


def test_a_host_whose_image_of_the_name_is_another_does_not_run_the_trial():
    spec = job({"instance_type": "local.1cpu"}, **WITH_IMAGE)
    engines = {"a": far_engine("a"), "b": far_engine("b", content="other")}
    (trial,) = plan_of(spec, FAR, engines=engines).trials
    assert [option.host.name for option in trial.options] == ["a"]


def test_generators_of_trials_that_run_at_once_have_cores_of_their_own():
    limits = {"max_parallel_trials": 3}
    spec = job({"instance_type": "local.1cpu"}, **WITH_IMAGE, limits=limits)
    plan = plan_of(spec, FAR, engines={name: far_engine(name) for name in "ab"})
    (trial,) = plan.trials
    a, b = (option.placement.generator_cpus for option in trial.options)
    assert (a, b) == ((0, 4), (1, 5))
    assert plan.at_once == 2  # no more than hosts


def test_where_there_are_too_few_cores_generators_share_them():
    limits = {"max_parallel_trials": 2}
    spec = job({"instance_type": "local.1cpu"}, **WITH_IMAGE, limits=limits)
    one = replace(MACHINE, cores=((0, 4),))
    engines = {name: far_engine(name) for name in "ab"}
    (trial,) = make_plan(spec, CATALOG, FAR, one, engines=engines).trials
    a, b = (option.placement.generator_cpus for option in trial.options)
    assert a == b == (0, 4)


def test_a_core_stays_for_servers_here_before_generators_get_their_own():
    limits = {"max_parallel_trials": 2}
    server = {"image": "a:1", "command": ["serve", "{port}"]}
    two = replace(MACHINE, cores=((0, 4), (1, 5)))
    spec = job({"instance_type": "local.1cpu"}, server=server, limits=limits)
    engines = {"a": far_engine("a")}
    (trial,) = make_plan(spec, CATALOG, (THIS_MACHINE, FAR[0]), two, engines=engines).trials
    here, far = (option.placement for option in trial.options)
    assert not here.co_located
    assert here.generator_cpus == far.generator_cpus == (0, 4)


def test_a_server_here_keeps_off_the_generators_of_other_hosts():
    limits = {"max_parallel_trials": 2}
    spec = job(
        {"instance_type": "local.6cpu"},
        server={"image": "a:1", "command": ["serve", "{port}"]},
        limits=limits,
    )
    (trial,) = plan_of(spec, (THIS_MACHINE, FAR[0]), engines={"a": far_engine("a")}).trials
    here, far = trial.options
    assert not set(here.placement.server_cpus) & set(far.placement.generator_cpus)


def test_cpus_that_other_jobs_hold_are_not_planned():
    plan = plan_of(job({"instance_type": "local.1cpu"}), taken=frozenset({0, 4, 1, 5}))
    assert plan.cpus == {2, 6, 3}


def test_a_type_of_unknown_size_runs_only_where_the_host_gives_it(tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("instance_type,price_per_hour\nrack.any,0.5\n")
    catalog = load_catalog(MachineSize(MACHINE.cpu_count, MACHINE.memory_bytes), prices)
    spec = job({"instance_type": "rack.any"})

    def on(**size: object) -> Plan:
        provided = Provided.model_validate({"instance_type": "rack.any", "as": "stand-in", **size})
        return make_plan(spec, catalog, (HostSpec(name="a", provides=(provided,)),), MACHINE)

    (refused,) = on().refused
    assert refused.why == (
        "the size of rack.any is not known; give vcpus and memory_gib in the price file, "
        "or cpus and memory_gib in the hosts file"
    )
    (trial,) = on(cpus=2, memory_gib=3.0).trials
    assert trial.placement.server_cpus == (1, 2)
    assert trial.placement.memory_bytes == 3 * BYTES_PER_GIB


def test_a_plan_of_which_nothing_can_run_is_the_environments_fault():
    plan = plan_of(
        job(
            {"instance_type": "local.9cpu", "environment": {"A": ["1", "2"]}},
            {"instance_type": "local.10cpu"},
        )
    )
    with pytest.raises(EnvironmentFault) as caught:
        require_runnable(plan)
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
    # each reason once
    assert str(caught.value) == (
        "no host can run any candidate: local.9cpu needs 9 CPUs and 8 may be used here; "
        "local.10cpu needs 10 CPUs and 8 may be used here"
    )


# -- types that cannot be told apart -------------------------------------------------------------


def stand_ins(*names: str, cpus: int = 2) -> HostSpec:
    provided = [
        {"instance_type": name, "as": "stand-in", "cpus": cpus, "memory_gib": 4.0} for name in names
    ]
    return HostSpec.model_validate({"name": "rack", "provides": provided})


def test_types_that_a_host_cannot_tell_apart_are_measured_once():
    names = ("ml.m5.xlarge", "ml.c5.xlarge")
    spec = job(*({"instance_type": n, "environment": {"A": ["1", "2"]}} for n in names))
    plan = plan_of(spec, (stand_ins(*names),))
    assert [trial.candidate.environment["A"] for trial in plan.trials] == ["1", "2"]
    for trial in plan.trials:
        assert trial.candidate.instance_type == "ml.m5.xlarge"
        assert [twin.instance_type for twin in trial.twins] == ["ml.c5.xlarge"]
        assert trial.twins[0].environment == trial.candidate.environment
    assert len(plan.candidates) == 4
    assert plan.expected_s == 2 * 70


@pytest.mark.parametrize(
    "other",
    [
        # another size, another provenance, another server
        {"instance_type": "local.1cpu"},
        {"instance_type": "local.2cpu"},
        {"instance_type": "ml.c5.xlarge", "command": ["other", "{port}"]},
        {"instance_type": "ml.c5.xlarge", "environment": {"A": "1"}},
    ],
)
def test_candidates_that_differ_in_more_than_the_types_name_are_measured_apart(other):
    host = stand_ins("ml.m5.xlarge", "ml.c5.xlarge")
    plan = plan_of(job({"instance_type": "ml.m5.xlarge"}, other), (host,))
    assert len(plan.trials) == 2
    assert all(trial.twins == () for trial in plan.trials)


def test_types_of_a_server_at_a_url_are_measured_apart():
    """What stands behind it may have been changed by the hooks in between."""
    spec = job(
        {"instance_type": "ml.m5.xlarge"},
        {"instance_type": "ml.c5.xlarge"},
        server={"url": "http://a/"},
    )
    assert len(plan_of(spec).trials) == 2


# -- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traffic", "traffic_s", "steps"),
    [
        ({"type": "users", "users": 1, "duration_s": 45.0}, 45, 1),
        ({"type": "rate", "per_s": 1.0, "duration_s": 30.0}, 30, 1),
        ({"type": "stairs", "users_per_step": 1, "steps": 3, "duration_s": 360.0}, 360, 3),
        (
            {
                "type": "phases",
                "phases": [
                    {"initial_users": 1, "spawn_rate_per_min": 1.0, "duration_s": 120.0},
                    {"initial_users": 2, "duration_s": 15.0},
                ],
            },
            135,
            3,
        ),
        # decided as it goes: at most its budget
        ({"type": "saturate", "budget_s": 50.0}, 50, 0),
    ],
)
def test_the_expected_time_is_that_of_the_traffic_and_ten_seconds_a_start(
    traffic, traffic_s, steps
):
    plan = plan_of(
        job({"instance_type": "local.1cpu", "environment": {"A": ["1", "2"]}}, traffic=traffic)
    )
    assert (plan.traffic_s, len(plan.steps)) == (traffic_s, steps)
    assert plan.scouting_s == 2 * (10 + traffic_s)
    if steps:
        assert plan.expected_s == plan.scouting_s


def test_a_race_expects_six_short_finals_of_two_candidates_as_far_as_max_trials_allows():
    swept = {"instance_type": "local.1cpu", "environment": {"A": ["1", "2", "3"]}}
    search = {"type": "search", "budget_s": 60.0}
    plan = plan_of(job(swept, traffic=search))
    assert plan.finals == 12
    assert plan.expected_s == pytest.approx(3 * 70 + 12 * 30)
    assert (plan.allowed_s, plan.needs) == (7200, ())
    few = plan_of(job(swept, traffic=search, limits={"max_trials": 5}))
    assert few.finals == 2
    assert few.needs == (Need("limits.max_trials", 15),)
    alone = {"instance_type": "local.1cpu"}
    assert plan_of(job(alone, traffic=search)).finals == 0


def test_a_race_plans_no_more_finals_than_there_is_time_for():
    swept = {"instance_type": "local.1cpu", "environment": {"A": ["1", "2", "3"]}}
    search = {"type": "search", "budget_s": 60.0}
    short = plan_of(job(swept, traffic=search, limits={"duration_s": 310.0}))
    assert (short.finals, short.expected_s) == (3, 300)
    assert short.needs == (Need("limits.duration_s", 570),)
    # no time is left, not even for all of the candidates
    shorter = plan_of(job(swept, traffic=search, limits={"duration_s": 200.0}))
    assert (shorter.finals, shorter.expected_s) == (0, 210)
    exact = plan_of(job(swept, traffic=search, limits={"duration_s": 570.0}))
    assert (exact.finals, exact.needs) == (12, ())


def test_many_candidates_are_scouted_with_half_the_budget():
    values = [str(number) for number in range(10)]
    swept = {"instance_type": "local.1cpu", "environment": {"A": values}}
    plan = plan_of(job(swept, traffic={"type": "search", "budget_s": 60.0}))
    assert plan.scouting_s == 10 * (10 + 30)


def test_a_race_that_cannot_come_to_every_candidate_once_is_refused():
    swept = {"instance_type": "local.1cpu", "environment": {"A": ["1", "2", "3"]}}
    short = {"duration_s": 179.0}
    with pytest.raises(ProblemsError, match="cannot measure 3 candidates once") as caught:
        plan_of(job(swept, traffic={"type": "search", "budget_s": 60.0}, limits=short))
    assert "lower traffic.budget_s" in str(caught.value)


def test_a_refused_candidate_takes_no_time():
    plan = plan_of(job({"instance_type": "local.9cpu"}, {"instance_type": "local.1cpu"}))
    assert plan.expected_s == 70


def test_a_candidate_without_variables_is_labelled_by_its_type_alone():
    assert Candidate("x", "local.1cpu", {}).label == "local.1cpu"

"""Default jobs: instance types from offers, settings from knobs, as many as there is time for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.candidates import expand
from rightsizer.catalog import Catalog, load_catalog
from rightsizer.defaults import Choice, chosen
from rightsizer.documents import parse_document
from rightsizer.errors import EnvironmentFault, ExitCode, ProblemsError
from rightsizer.inventory import THIS_MACHINE, HostSpec, Provided
from rightsizer.knob_reading import parse_knobs
from rightsizer.knobs import Size
from rightsizer.machines import Machine
from rightsizer.needs import raised
from rightsizer.offers import offer_of
from rightsizer.planning import make_plan
from rightsizer.report.choice_text import choice_sections
from rightsizer.spec import JobSpec
from rightsizer.units import BYTES_PER_GIB

# Eight cores of two threads; the generator gets one.
MACHINE = Machine(
    cores=tuple((n, n + 8) for n in range(8)),
    cpu_count=16,
    memory_bytes=32 * BYTES_PER_GIB,
    processor="a chip",
    architecture="x86_64",
    threads_per_core=2,
)
KNOBS = parse_knobs(
    parse_document(
        Path("knobs.yaml"),
        "knobs: [{name: T, meaning: threads, values: [cores, 1]},"
        " {name: K, meaning: kernels, texts: [new, old]}]",
    )
)
PRICES = "instance_type,purchase_usd,lifetime_years\n"


def job(**more: object) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "a",
            "type": "default",
            "server": {"command": ["serve", "{port}"]},
            "payload": {"archive": "body.txt"},
            **more,
        }
    )


def choose(
    spec: JobSpec | None = None,
    host: HostSpec = THIS_MACHINE,
    machine: Machine = MACHINE,
    catalog: Catalog | None = None,
) -> tuple[JobSpec, Choice]:
    catalog = catalog or load_catalog(machine.size)
    offers = [offer_of(host, machine, None, catalog)]
    return chosen(spec or job(), offers, catalog, machine, KNOBS)


def names(choice: Choice) -> list[str]:
    return [kind.instance_type for kind in choice.types]


def test_local_types_double_in_size_up_to_what_leaves_the_generator_its_core():
    _, choice = choose()
    assert names(choice) == ["local.1cpu", "local.2cpu", "local.4cpu", "local.8cpu", "local.14cpu"]
    # a core has two threads, and an idle sibling is preferred
    assert [kind.size.cores for kind in choice.types] == [1, 2, 4, 7, 7]
    [shared, close] = choice.passed_over
    assert shared.instance_types == ("local.15cpu", "local.16cpu")
    assert close.why == "close in size to others"
    assert "local.3cpu" in close.instance_types


def test_where_every_type_shares_the_generators_core_the_smallest_is_measured():
    machine = replace(MACHINE, cores=((0,),), cpu_count=1, threads_per_core=1)
    assert names(choose(machine=machine)[1]) == ["local.1cpu"]


def test_types_without_a_price_are_left_out_where_others_have_one(tmp_path: Path):
    (tmp_path / "prices.csv").write_text(PRICES + "local.2cpu,1000,4\nlocal.3cpu,1000,4\n")
    catalog = load_catalog(MACHINE.size, tmp_path / "prices.csv")
    _, choice = choose(catalog=catalog)
    assert names(choice) == ["local.2cpu", "local.3cpu"]
    assert any("no price" in over.why for over in choice.passed_over)


def test_what_the_hosts_file_provides_and_what_is_emulated_is_measured():
    xeon = replace(MACHINE, processor="Intel(R) Xeon(R) Platinum 8375C CPU")
    kinds = names(choose(machine=xeon)[1])
    assert kinds
    assert all(kind.startswith("ml.") for kind in kinds)  # these have prices, local ones none
    provided = Provided.model_validate({"instance_type": "ml.m5.xlarge", "as": "stand-in"})
    _, choice = choose(host=HostSpec(name="h", provides=(provided,)))
    assert [(kind.instance_type, kind.provenance) for kind in choice.types] == [
        ("ml.m5.xlarge", "stand-in")
    ]


def test_no_host_for_the_server_is_told():
    words = r"no instance type to measure.*declare a stand-in for one with `provides` in the hosts"
    with pytest.raises(EnvironmentFault, match=words) as caught:
        chosen(job(), [], load_catalog(MACHINE.size), MACHINE, KNOBS)
    assert caught.value.exit_code == ExitCode.ENVIRONMENT


def test_the_budget_decides_how_many_and_leaves_time_for_finals():
    spec, choice = choose()
    # 4 x 4 + 2 on one core of which threads come to the same
    assert (choice.kind, choice.candidates, choice.left_out) == ("grid", 18, 0)
    shorter, fewer = choose(job(limits={"duration_s": 900.0}))
    assert fewer.kind == "part"
    assert fewer.candidates < 18
    assert fewer.candidates + fewer.left_out == 18
    for one in (spec, shorter):
        plan = make_plan(one, load_catalog(MACHINE.size), [THIS_MACHINE], MACHINE)
        assert plan.expected_s <= one.limits.duration_s
        assert plan.finals == 12


def test_the_jobs_own_limits_are_kept_and_half_of_its_trials_are_finals():
    spec, choice = choose(job(limits={"max_trials": 12}))
    assert spec.limits.max_trials == 12
    assert spec.limits.duration_s == 2700
    assert choice.candidates == 6
    assert choice.cut == ("T", "K")


GRID = parse_knobs(
    parse_document(
        Path("knobs.yaml"),
        "knobs: [{name: A, meaning: a, values: [1, 2, 3, 4]},"
        " {name: B, meaning: b, values: [1, 2, 3, 4]}]",
    )
)


def choose_of_sixteen(**limits: float) -> tuple[JobSpec, Choice]:
    """Of 4 x 4 combinations on one instance type."""
    catalog = load_catalog(MACHINE.size)
    offers = [offer_of(THIS_MACHINE, MACHINE, None, catalog)]
    one_type = job(instance_types=["local.4cpu"], limits=limits)
    return chosen(one_type, offers, catalog, MACHINE, GRID)


def test_what_the_engine_chose_fits_the_time_with_its_finals():
    """Ten candidates at half the budget each would fit, seven at the whole would not."""
    spec, choice = choose_of_sixteen(duration_s=600.0)
    plan = make_plan(spec, load_catalog(MACHINE.size), [THIS_MACHINE], MACHINE)
    assert (choice.kind, choice.candidates, plan.finals) == ("part", 5, 8)
    assert plan.expected_s <= 600


@pytest.mark.parametrize("limits", [{"max_trials": 5}, {"duration_s": 600.0}])
def test_the_limit_that_left_combinations_out_is_remembered_with_what_it_would_take(limits):
    [(given, _)] = limits.items()
    _, choice = choose_of_sixteen(**limits)
    assert choice.left_out > 0
    [need] = choice.needs
    assert need.limit == f"limits.{given}"
    assert need.wanted == {"max_trials": 28, "duration_s": 1000}[given]
    _, whole = choose_of_sixteen(**{given: need.wanted})
    assert (whole.kind, whole.candidates, whole.needs) == ("grid", 16, ())


def test_both_limits_are_remembered_where_both_leave_combinations_out():
    _, choice = choose_of_sixteen(max_trials=5, duration_s=600.0)
    assert raised(choice.needs) == "raise limits.max_trials to 28 and limits.duration_s to 1000"


def test_no_limit_is_named_where_none_would_do():
    knobs = ", ".join(f"{{name: K{n}, meaning: k, values: [1, 2, 3]}}" for n in range(6))
    many = parse_knobs(parse_document(Path("knobs.yaml"), f"knobs: [{knobs}]"))
    catalog = load_catalog(MACHINE.size)
    offers = [offer_of(THIS_MACHINE, MACHINE, None, catalog)]
    short = job(instance_types=["local.4cpu"], limits={"duration_s": 1000.0})
    _, choice = chosen(short, offers, catalog, MACHINE, many)
    assert (choice.kind, choice.candidates, choice.needs) == ("screening", 13, ())
    [_, left_out] = [entry for entry in choice_sections(choice)[-1].entries]
    assert "24 candidates are the most that a job has room for; sweep what" in left_out.text


def test_without_limits_trials_are_as_many_as_the_time_may_hold():
    spec, choice = choose()
    assert spec.limits.max_trials >= choice.candidates + 12


def test_types_that_trials_have_no_room_for_are_passed_over_with_a_reason():
    _, choice = choose(job(limits={"max_trials": 4}))
    assert names(choice) == ["local.1cpu", "local.2cpu"]
    over = choice.passed_over[-1]
    assert over.instance_types == ("local.4cpu", "local.8cpu", "local.14cpu")
    assert over.why == "limits.max_trials 4 has no room for them; raise it to 17"


def test_more_types_than_the_usual_trials_are_no_fault_of_a_job_that_gave_none():
    cores = tuple((n,) for n in range(64))
    machine = replace(MACHINE, cores=cores, cpu_count=64, threads_per_core=1)
    # Priced ones, so that no local type stands beside them.
    catalog = load_catalog(machine.size)
    kinds = [t.name for t in catalog.rows() if t.name.startswith("ml.")][:22]
    provides = tuple(
        Provided.model_validate({"instance_type": name, "as": "stand-in", "cpus": n})
        for n, name in enumerate(kinds, 1)
    )
    spec, choice = choose(host=HostSpec(name="h", provides=provides), machine=machine)
    assert len(choice.types) == 22
    assert spec.limits.max_trials >= 22 + 12


def test_a_secret_cannot_be_compared():
    knobs = parse_knobs(
        parse_document(
            Path("knobs.yaml"),
            "{knobs: [{name: T, meaning: threads, values: [1]}], require: [T <= cores]}",
        )
    )
    server = {"command": ["serve", "{port}"], "environment": {"T": {"secret": "HIDDEN"}}}
    catalog = load_catalog(MACHINE.size)
    offers = [offer_of(THIS_MACHINE, MACHINE, None, catalog)]
    with pytest.raises(ProblemsError, match=r"environment\.T: a secret cannot be compared"):
        chosen(job(server=server), offers, catalog, MACHINE, knobs)


def test_time_for_less_than_one_candidate_a_type_is_refused_in_one_line():
    spec, _ = choose(job(limits={"duration_s": 100.0}))
    with pytest.raises(ProblemsError, match="cannot measure 5 candidates once") as caught:
        make_plan(spec, load_catalog(MACHINE.size), [THIS_MACHINE], MACHINE)
    assert caught.value.exit_code == ExitCode.INPUT


def test_traffic_is_a_search_with_a_latency_limit_and_a_saturate_without():
    assert choose(job(limit={"latency_ms": 5.0}))[0].traffic.type == "search"
    assert choose()[0].traffic.type == "saturate"
    given = {"type": "search", "budget_s": 30.0}
    assert choose(job(traffic=given))[0].traffic.type == "search"


def test_a_knob_that_is_not_swept_says_why():
    server = {"command": ["serve", "{port}"], "environment": {"K": "old"}}
    _, choice = choose(job(server=server))
    [threads, kernels] = choice.knobs
    assert kernels.why_fixed == "fixed by server.environment at old"
    assert (threads.values, threads.why_fixed) == (("1", "2", "4", "7"), "")


def test_the_same_input_gives_the_same_candidates_and_ids():
    one, two = (choose()[0] for _ in range(2))
    assert one == two
    ids = [candidate.id for candidate in expand(one.candidates)]
    assert len(set(ids)) == len(ids)


def test_a_size_is_of_the_cpus_that_the_type_gets():
    kind = choose()[1].types[0]
    assert kind.size == Size(cores=1, cpus=1, memory_gib=2.0)

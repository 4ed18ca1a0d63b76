"""A request as a job of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rightsizer.api.images import LocalServer
from rightsizer.api.jobs.sources import Source
from rightsizer.api.jobs.specs import spec_of
from rightsizer.api.settings import EndpointSpec, Settings
from rightsizer.errors import ProblemsError
from rightsizer.schedule import stretches
from rightsizer.spec import JobSpec

from tests.api.jobs.requests import PHASE, STAIRS, advanced, default, phases, threads
from tests.e2e.reference_flow import INSTANCE_TYPES

SOURCE = Source(
    name="resnet",
    image="image",
    model_url="s3://bucket/model.tar.gz",
    environment={"B": "1", "A": "2"},
    domain="COMPUTER_VISION",
    framework="TENSORFLOW",
    task="IMAGE_CLASSIFICATION",
    payload_url="s3://bucket/payload.tar.gz",
    content_types=("application/x-image", "application/json"),
    instance_types=(),
)
SERVER = LocalServer("local:1", ("{python}", "serve.py", "{port}", "{model_dir}"))
"""Its answers as they are here."""


def spec(
    request: dict[str, Any],
    source: Source = SOURCE,
    server: LocalServer | EndpointSpec = SERVER,
    time_scale: float = 1.0,
) -> JobSpec:
    return spec_of(request, source, server, Settings(hosts="hosts.yaml"), time_scale)


def stopping(**conditions: Any) -> dict[str, Any]:
    return {**advanced(), "StoppingConditions": conditions}


@pytest.mark.parametrize("rate", [0, 1, 3])
@pytest.mark.parametrize("duration_s", [120, 3600])
def test_a_shortened_phase_has_the_same_users_for_the_same_shares_of_it(rate: int, duration_s: int):
    phase = {**PHASE, "SpawnRate": rate, "DurationInSeconds": duration_s}
    request = advanced(TrafficPattern=phases(phase), JobDurationInSeconds=7200)
    whole, short = (spec(request, time_scale=scale).traffic for scale in (1.0, 0.1))
    assert whole.type == short.type == "phases"
    [whole_phase], [short_phase] = whole.phases, short.phases
    assert (whole_phase.duration_s, whole_phase.spawn_rate_per_min) == (duration_s, rate)
    assert short_phase.duration_s == pytest.approx(duration_s / 10)
    assert [users for _, users in stretches(short_phase)] == [
        users for _, users in stretches(whole_phase)
    ]
    assert [10 * length_s for length_s, _ in stretches(short_phase)] == pytest.approx(
        [length_s for length_s, _ in stretches(whole_phase)]
    )


def test_the_duration_of_stairs_is_the_whole_and_shortened_as_a_whole():
    request = advanced(TrafficPattern={"TrafficType": "STAIRS", "Stairs": STAIRS})
    for scale in (1.0, 0.1):
        traffic = spec(request, time_scale=scale).traffic
        assert traffic.model_dump() == {
            "type": "stairs",
            "users_per_step": 1,
            "steps": 5,
            "duration_s": pytest.approx(600 * scale),
        }


def test_without_a_pattern_a_promise_is_searched_for_and_else_a_plateau():
    thresholds = [{"Percentile": "P95", "ValueInMilliseconds": 100}]
    request = advanced(TrafficPattern=None)
    assert spec(request).traffic.type == "saturate"
    promised = {**request, "StoppingConditions": {"ModelLatencyThresholds": thresholds}}
    assert spec(promised).traffic.type == "search"


@pytest.mark.parametrize(
    ("given", "found"), [("Stop", "stop"), ("Continue", "continue"), (None, "stop")]
)
def test_flat_invocations_stop_unless_they_are_to_continue(given: str | None, found: str):
    conditions = {} if given is None else {"FlatInvocations": given}
    assert spec(stopping(**conditions)).stop.flat_invocations == found


def test_max_invocations_is_the_fleets_target_and_ends_no_trial():
    found = spec(stopping(MaxInvocations=300))
    assert found.target is not None
    assert found.target.invocations_per_min == 300
    assert found.stop.max_invocations_per_min is None
    assert spec(advanced()).target is None


@pytest.mark.parametrize("percentile", ["P95", "P99", None])
def test_the_latency_threshold_is_the_limit(percentile: str | None):
    threshold = {"ValueInMilliseconds": 80} | ({"Percentile": percentile} if percentile else {})
    limit = spec(stopping(ModelLatencyThresholds=[threshold])).limit
    assert (limit.percentile, limit.latency_ms) == (percentile or "P95", 80.0)
    assert spec(advanced()).limit.latency_ms is None


def test_candidates_are_the_endpoint_configurations_with_their_ranges_in_order():
    ranges = [{"Name": "Z", "Value": ["9", "1"]}, {"Name": "A", "Value": ["x"]}]
    configured = {
        "InstanceType": "ml.m5.large",
        "EnvironmentParameterRanges": {"CategoricalParameterRanges": ranges},
    }
    plain = {"InstanceType": "ml.c5.large"}
    found = spec(advanced(EndpointConfigurations=[configured, plain])).candidates
    assert [one.instance_type for one in found] == ["ml.m5.large", "ml.c5.large"]
    assert list(found[0].environment.items()) == [("Z", ("9", "1")), ("A", ("x",))]
    assert found[1].environment == {}


def test_the_containers_environment_is_the_servers():
    found = spec(advanced())
    assert found.server.environment == {"B": "1", "A": "2"}
    assert (found.server.image, found.server.command) == (SERVER.image, SERVER.command)
    assert found.server.protocol == "sagemaker"
    assert found.payload.content_type == "application/x-image"
    assert found.model.framework == "TENSORFLOW"


def test_resource_limits_bound_the_job_and_without_them_all_is_tested():
    limits = spec(advanced(ResourceLimit={"MaxNumberOfTests": 3, "MaxParallelOfTests": 2})).limits
    assert (limits.max_trials, limits.max_parallel_trials) == (3, 2)
    many = [
        threads("1", "2", "4", instance_type=f"ml.c5.{size}")
        for size in ("large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "18xlarge")
    ] + [threads("1", "2", "4", instance_type="ml.m5.large")]
    found = spec(advanced(EndpointConfigurations=many)).limits
    assert found.max_trials >= 21
    assert found.max_parallel_trials == 1


def test_the_duration_of_a_job_is_as_given_else_what_its_type_has():
    assert spec(advanced(JobDurationInSeconds=600), time_scale=0.1).limits.duration_s == 600
    assert spec(advanced(JobDurationInSeconds=None)).limits.duration_s == 7200
    assert spec(default()).limits.duration_s == 2700
    assert spec(default(), time_scale=0.1).limits.duration_s == 270
    assert spec(default(JobDurationInSeconds=900), time_scale=0.1).limits.duration_s == 900


def test_a_default_job_chooses_among_the_types_that_its_package_supports():
    found = spec(default(), replace(SOURCE, instance_types=tuple(INSTANCE_TYPES)))
    assert found.type == "default"
    assert len(found.instance_types) == 21
    assert found.instance_types == tuple(INSTANCE_TYPES)
    assert found.candidates == ()
    assert spec(default()).instance_types == ()


@pytest.mark.parametrize("make", [advanced, default])
def test_an_existing_endpoint_is_the_one_candidate(make: Any):
    server = EndpointSpec(name="mine", url="http://10.0.0.5:8080/", instance_type="ml.c5.large")
    request = make(
        EndpointConfigurations=None, TrafficPattern=None, Endpoints=[{"EndpointName": "mine"}]
    )
    found = spec(request, replace(SOURCE, model_url=None), server)
    assert found.server.url == "http://10.0.0.5:8080/"
    assert found.server.image is None
    assert found.server.environment == {}
    assert found.model.archive is None
    assert [one.instance_type for one in found.candidates] == ["ml.c5.large"]
    assert found.limits.duration_s == (2700 if make is default else 7200)


def test_an_endpoint_that_runs_has_ten_seconds_to_be_ready_unless_said_otherwise():
    request = advanced(
        EndpointConfigurations=None, TrafficPattern=None, Endpoints=[{"EndpointName": "mine"}]
    )
    said = {"name": "mine", "url": "http://10.0.0.5:8080/"}
    usual, patient = EndpointSpec(**said), EndpointSpec(**said, ready_timeout_s=60.0)
    assert spec(request, server=usual).server.ready_timeout_s == 10
    assert spec(request, server=patient).server.ready_timeout_s == 60
    assert spec(advanced()).server.ready_timeout_s == 600


@pytest.mark.parametrize(
    ("source", "endpoints", "said"),
    [
        ({"environment": {"A=B": "1"}}, [threads("1")], "environment"),
        ({}, [threads("1", "2"), threads("2")], "repeats ml.c5.xlarge OMP_NUM_THREADS=2"),
        ({"model_url": None}, [threads("1")], "model.archive"),
    ],
)
def test_what_the_engines_own_jobs_cannot_be_is_told_as_problems(
    source: dict[str, Any], endpoints: list[dict[str, Any]], said: str
):
    with pytest.raises(ProblemsError) as caught:
        spec(advanced(EndpointConfigurations=endpoints), replace(SOURCE, **source))
    assert said in str(caught.value)

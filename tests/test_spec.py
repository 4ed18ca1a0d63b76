"""The job file: what is accepted, with which defaults, and every refusal with its line."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError
from rightsizer.errors import ExitCode, ProblemsError
from rightsizer.placeholders import fill, names_in
from rightsizer.spec import (
    JobSpec,
    PhaseSpec,
    PhasesTraffic,
    RateTraffic,
    RequestSpec,
    SaturateTraffic,
    SearchTraffic,
    SecretRef,
    StairsTraffic,
    UsersTraffic,
    load_spec,
)

SERVER = 'server: {command: ["{python}", serve.py, "{port}"]}'
PAYLOAD = "payload: {archive: images.tar.gz}"
CANDIDATES = "candidates: [{instance_type: local.1cpu}]"
TRAFFIC = "traffic: {type: users, users: 2}"


def job(
    *extra: str,
    name: str = "name: a",
    server: str = SERVER,
    payload: str = PAYLOAD,
    candidates: str = CANDIDATES,
    traffic: str = TRAFFIC,
) -> str:
    """A job file of five lines, in this order, and then the extra ones."""
    return "\n".join([name, server, payload, candidates, traffic, *extra]) + "\n"


@pytest.fixture
def load(tmp_path):
    def parse(text: str) -> JobSpec:
        path = tmp_path / "job.yaml"
        path.write_text(text)
        return load_spec(path)

    return parse


@pytest.fixture
def refusals(load, tmp_path):
    """The lines a job file is refused with, each without `job.yaml:`."""

    def parse(text: str) -> list[str]:
        with pytest.raises(ProblemsError) as caught:
            load(text)
        assert caught.value.exit_code == ExitCode.INPUT
        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{tmp_path}/job.yaml:") for line in lines)
        return [line.removeprefix(f"{tmp_path}/job.yaml:") for line in lines]

    return parse


FULL = """\
name: resnet50-threads
type: advanced
model: {name: resnet50, framework: tensorflow, domain: computer_vision, task: image_classification,
        archive: ../build/resnet50/model.tar.gz}
server:
  command: ["{python}", "savedmodel-server/serve.py", "--port", "{port}", "--model-dir",
            "{model_dir}"]
  image: rightsizer/savedmodel-server:cpu
  protocol: sagemaker
  request: {path: /invocations, method: POST, headers: {}, model: resnet50,
            signature: serving_default, input: image_bytes}
  environment: {TF_CPP_MIN_LOG_LEVEL: "2", TOKEN: {secret: MODEL_TOKEN}}
  ready_timeout_s: 120
  request_timeout_s: 10
payload: {archive: ../payloads/images.tar.gz, content_type: application/x-image, seed: 7}
candidates:
  - instance_type: local.1cpu
    environment: {OMP_NUM_THREADS: ["1", "2"], TF_ENABLE_ONEDNN_OPTS: ["0", "1"]}
  - instance_type: ml.m5.xlarge
    environment: {WORKERS: 010}
    command: [own, "{port}"]
    image: own:1
traffic: TRAFFIC
limit: {percentile: P95, latency_ms: 250, max_error_ratio: 0.01}
target: {invocations_per_min: 300, max_utilisation_ratio: 1.0, min_instances: 1, spare_instances: 0}
stop: {max_invocations_per_min: null, flat_invocations: stop}
limits: {max_trials: 20, max_parallel_trials: 1, duration_s: 7200}
hosts: hosts.yaml
prices: prices.csv
"""


def full(traffic: str = "{type: rate, per_s: 40, arrivals: poisson, duration_s: 60}") -> str:
    return FULL.replace("TRAFFIC", traffic, 1)


def test_the_designs_example_is_read_key_by_key(load):
    spec = load(full())
    assert spec.name == "resnet50-threads"
    assert (spec.model.framework, spec.model.archive) == (
        "tensorflow",
        "../build/resnet50/model.tar.gz",
    )
    assert spec.server.command == (
        "{python}",
        "savedmodel-server/serve.py",
        "--port",
        "{port}",
        "--model-dir",
        "{model_dir}",
    )
    assert spec.server.image == "rightsizer/savedmodel-server:cpu"
    assert (spec.server.request.path, spec.server.request.input) == ("/invocations", "image_bytes")
    assert spec.server.environment == {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TOKEN": SecretRef(secret="MODEL_TOKEN"),
    }
    assert (spec.server.ready_timeout_s, spec.server.request_timeout_s) == (120.0, 10.0)
    assert (spec.payload.content_type, spec.payload.seed) == ("application/x-image", 7)
    first, second = spec.candidates
    assert first.environment == {
        "OMP_NUM_THREADS": ("1", "2"),
        "TF_ENABLE_ONEDNN_OPTS": ("0", "1"),
    }
    assert (first.command, first.image) == (None, None)
    # the second brings its own server
    assert second.environment == {"WORKERS": ("010",)}
    assert (second.command, second.image) == (("own", "{port}"), "own:1")
    assert (spec.limit.percentile, spec.limit.latency_ms, spec.limit.max_error_ratio) == (
        "P95",
        250.0,
        0.01,
    )
    assert spec.target is not None
    assert spec.target.invocations_per_min == 300.0
    assert (spec.stop.max_invocations_per_min, spec.stop.flat_invocations) == (None, "stop")
    assert (spec.limits.max_trials, spec.limits.duration_s) == (20, 7200.0)
    assert (spec.hosts, spec.prices) == ("hosts.yaml", "prices.csv")


@pytest.mark.parametrize(
    ("traffic", "expected"),
    [
        (
            "{type: phases, phases: [{initial_users: 1, spawn_rate_per_min: 1, duration_s: 120}, "
            "{initial_users: 3, duration_s: 30}]}",
            PhasesTraffic(
                type="phases",
                phases=(
                    PhaseSpec(initial_users=1, spawn_rate_per_min=1.0, duration_s=120.0),
                    PhaseSpec(initial_users=3, spawn_rate_per_min=0.0, duration_s=30.0),
                ),
            ),
        ),
        (
            "{type: stairs, users_per_step: 1, steps: 3, duration_s: 360}",
            StairsTraffic(type="stairs", users_per_step=1, steps=3, duration_s=360.0),
        ),
        (
            "{type: users, users: 8, duration_s: 60}",
            UsersTraffic(type="users", users=8, duration_s=60.0),
        ),
        (
            "{type: rate, per_s: 0.5, arrivals: constant, duration_s: 90}",
            RateTraffic(type="rate", per_s=0.5, arrivals="constant", duration_s=90.0),
        ),
        # users and rate last a minute unless said otherwise; arrivals are Poisson
        ("{type: users, users: 8}", UsersTraffic(type="users", users=8, duration_s=60.0)),
        (
            "{type: rate, per_s: 40}",
            RateTraffic(type="rate", per_s=40.0, arrivals="poisson", duration_s=60.0),
        ),
    ],
)
def test_each_kind_of_traffic_is_read(load, traffic, expected):
    assert load(full(traffic)).traffic == expected


def test_saturate_is_read_where_no_latency_limit_is_given(load):
    spec = load(full("{type: saturate}").replace("latency_ms: 250, ", ""))
    assert spec.traffic == SaturateTraffic(type="saturate", budget_s=60.0)


def test_a_short_job_file_gets_the_documented_defaults(load):
    spec = load(job())
    assert spec.type == "advanced"
    assert spec.server.protocol == "sagemaker"
    assert (spec.server.ready_timeout_s, spec.server.request_timeout_s) == (120.0, 10.0)
    assert (spec.server.request.method, spec.server.request.path) == ("POST", None)
    assert (spec.payload.content_type, spec.payload.seed) == ("application/octet-stream", 1)
    assert (spec.limit.percentile, spec.limit.latency_ms, spec.limit.max_error_ratio) == (
        "P95",
        None,
        0.01,
    )
    assert (spec.stop.max_invocations_per_min, spec.stop.flat_invocations) == (None, "stop")
    assert spec.limits.model_dump() == {
        "max_trials": 20,
        "max_parallel_trials": 1,
        "duration_s": 7200.0,
    }
    assert (spec.target, spec.hosts, spec.prices, spec.model.archive) == (None,) * 4


def test_a_target_is_carried_at_full_use_by_one_instance_or_more_unless_said_otherwise(load):
    target = load(job("target: {invocations_per_min: 300}")).target
    assert target is not None
    assert target.model_dump() == {
        "invocations_per_min": 300.0,
        "max_utilisation_ratio": 1.0,
        "min_instances": 1,
        "spare_instances": 0,
    }


def test_a_stored_spec_is_read_back_as_it_was(load):
    spec = load(full())
    stored = json.dumps(spec.model_dump(mode="json"))
    assert JobSpec.model_validate(json.loads(stored)) == spec


@pytest.mark.parametrize("indent", [None, 2, "\t"], ids=["one line", "spaces", "tabs"])
def test_a_json_job_file_gives_the_same_spec(load, tmp_path, indent):
    content = {
        "name": "a",
        "server": {"command": ["{python}", "serve.py", "{port}"]},
        "payload": {"archive": "images.tar.gz"},
        "candidates": [{"instance_type": "local.1cpu"}],
        "traffic": {"type": "users", "users": 2},
    }
    path = tmp_path / "job.json"
    path.write_text(json.dumps(content, indent=indent))
    assert load_spec(path) == load(job())


# -- all problems at once ----------------------------------------------------------------------


def test_unknown_missing_duplicate_and_contradictory_keys_are_all_reported_with_their_lines(
    refusals,
):
    text = """\
name: a
nmae: b
server:
  command: [serve, "{port}"]
  url: http://10.0.0.5:8000/
  imgae: x
  ready_timeout_s: 0
payload: {content_type: image/jpeg}
candidates:
  - instance_type: local.1cpu
    environment: {A: [true], B: []}
  - environment: {A: "1"}
name: c
traffic:
  type: phases
  phases:
    - {initial_users: 0, duration_s: 10}
    - {initial_users: 1, duration_s: 10, users: 3}
limit: {latency_ms: .nan}
"""
    assert refusals(text) == [
        "2: nmae: unknown key; remove it or mend its spelling",
        "5: server.url: url excludes command and image; keep one",
        "5: server.url: variables cannot reach a server that runs already; give hooks.before_trial",
        "6: server.imgae: unknown key; remove it or mend its spelling",
        "7: server.ready_timeout_s: should be greater than 0, not 0",
        "8: payload.archive: required key is missing; add it",
        '11: candidates[0].environment.A: environment values are strings; quote it: "true"',
        "11: candidates[0].environment.B: an empty sweep has no candidate; list at least one value",
        "12: candidates[1].instance_type: required key is missing; add it",
        "13: name: duplicate key, first on line 1; keep one",
        "17: traffic.phases[0].initial_users: should be greater than or equal to 1, not 0",
        "18: traffic.phases[1].users: unknown key; remove it or mend its spelling",
        "19: limit.latency_ms: must be a finite number",
    ]


def test_an_empty_file_is_told_every_key_it_needs(refusals):
    assert refusals("") == [
        "1: candidates: required key is missing; add it, or give type default",
        "1: name: required key is missing; add it",
        "1: payload: required key is missing; add it",
        "1: server: required key is missing; add it",
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "hello", "5"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(refusals, text):
    assert refusals(text) == ["1: must be a mapping of keys to values"]


@pytest.mark.parametrize(
    ("traffic", "problem"),
    [
        # a key that its kind of traffic needs, also where both share a name
        ("{type: users}", "traffic.users: required key is missing; add it"),
        ("{type: phases}", "traffic.phases: required key is missing; add it"),
        ("{type: stairs, users_per_step: 1, steps: 2}",
         "traffic.duration_s: required key is missing; add it"),
        ("{type: rate}",
         "traffic.per_s: required key is missing; add it, or times_s or per_min for a trace"),
        # a key that belongs to another kind
        ("{type: users, users: 1, per_s: 3}",
         "traffic.per_s: unknown key; remove it or mend its spelling"),
        # a phase of no users, or of no length, or none at all
        ("{type: phases, phases: [{initial_users: 0, duration_s: 10}]}",
         "traffic.phases[0].initial_users: should be greater than or equal to 1, not 0"),
        ("{type: phases, phases: [{initial_users: 1, duration_s: 0}]}",
         "traffic.phases[0].duration_s: should be greater than 0, not 0"),
        ("{type: phases, phases: []}", "traffic.phases: must not be empty; list at least one"),
        ("{type: phases, phases: {initial_users: 1}}", "traffic.phases: must be a list"),
        # a length or a rate that is zero, negative, infinite or no number
        ("{type: users, users: 1, duration_s: 0}",
         "traffic.duration_s: should be greater than 0, not 0"),
        ("{type: users, users: 1, duration_s: -3}",
         "traffic.duration_s: should be greater than 0, not -3"),
        ("{type: users, users: 1, duration_s: .nan}",
         "traffic.duration_s: must be a finite number"),
        ("{type: rate, per_s: 0}", "traffic.per_s: should be greater than 0, not 0"),
        ("{type: rate, per_s: .nan}", "traffic.per_s: must be a finite number"),
        # strings and booleans are no numbers
        ('{type: users, users: "1"}', "traffic.users: should be a valid integer, not '1'"),
        ("{type: users, users: true}", "traffic.users: should be a valid integer, not True"),
        ("{type: users, users: 1.5}", "traffic.users: should be a valid integer, not 1.5"),
        # no such kind, or none said
        ("{type: ramp}", "traffic: 'ramp' is not one of 'phases', 'stairs', 'users', 'rate', "
         "'saturate', 'search'"),
        ("{users: 1}", "traffic: required key is missing: type"),
        ("fast", "traffic: must be a mapping of keys to values"),
        # arrivals of an unknown process
        ("{type: rate, per_s: 1, arrivals: bursty}",
         "traffic.arrivals: 'bursty' is not one of 'poisson', 'constant' or 'gamma'"),
        # variation without gamma, and gamma without variation
        ("{type: rate, per_s: 1, cv: 2}", "traffic.cv: cv belongs to arrivals gamma; remove it"),
        ("{type: rate, per_s: 1, arrivals: gamma}",
         "traffic.cv: required key is missing: gamma arrivals need the variation of their gaps"),
        ("{type: rate, per_s: 1, arrivals: gamma, cv: 0}",
         "traffic.cv: should be greater than or equal to 0.01, not 0"),
        # a trace beside a rate, or with arrivals of another kind, or that is none
        ("{type: rate, per_s: 1, times_s: t.txt}",
         "traffic.times_s: times_s excludes per_s; keep one"),
        ("{type: rate, times_s: t.txt, per_min: m.txt}",
         "traffic.per_min: per_min excludes times_s; keep one"),
        ("{type: rate, per_min: m.txt, arrivals: constant}",
         "traffic.arrivals: a trace has its own arrivals; remove it"),
        ("{type: rate, times_s: [3, 2]}", "traffic.times_s: arrival times must ascend"),
        ("{type: rate, times_s: [-1]}",
         "traffic.times_s: an arrival time must be at least 0, not -1"),
        ("{type: rate, times_s: [yes]}",
         "traffic.times_s: an arrival time must be a number, not 'yes'"),
        ("{type: rate, per_min: [1.5]}",
         "traffic.per_min: requests per minute must be whole numbers"),
        ("{type: rate, per_min: [0, 0]}", "traffic.per_min: a trace without a request"),
        ("{type: rate, per_min: []}",
         "traffic.per_min: give the path of a file, or a list of numbers"),
    ],
)  # fmt: skip
def test_traffic_that_means_nothing_is_refused(refusals, traffic, problem):
    assert refusals(job(traffic=f"traffic: {traffic}")) == [f"5: {problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("limit: {latency_ms: 0}", "limit.latency_ms: should be greater than 0, not 0"),
        ("limit: {latency_ms: -250}", "limit.latency_ms: should be greater than 0, not -250"),
        ("limit: {latency_ms: .inf}", "limit.latency_ms: must be a finite number"),
        ("limit: {latency_ms: 1e999}", "limit.latency_ms: must be a finite number"),
        ("limit: {latency_ms: fast}", "limit.latency_ms: should be a valid number, not 'fast'"),
        ("limit: {max_error_ratio: 1}", "limit.max_error_ratio: should be less than 1, not 1"),
        ("limit: {max_error_ratio: -0.1}",
         "limit.max_error_ratio: should be greater than or equal to 0, not -0.1"),
        ("limit: {percentile: P97}",
         "limit.percentile: 'P97' is not one of 'P50', 'P90', 'P95' or 'P99'"),
        ("target: {invocations_per_min: 0}",
         "target.invocations_per_min: should be greater than 0, not 0"),
        ("target: {}", "target.invocations_per_min: required key is missing; add it"),
        ("target: {invocations_per_min: 1, max_utilisation_ratio: 1.1}",
         "target.max_utilisation_ratio: should be less than or equal to 1, not 1.1"),
        ("target: {invocations_per_min: 1, max_utilisation_ratio: 0}",
         "target.max_utilisation_ratio: should be greater than 0, not 0"),
        ("target: {invocations_per_min: 1, spare_instances: -1}",
         "target.spare_instances: should be greater than or equal to 0, not -1"),
        ("limits: {duration_s: .nan}", "limits.duration_s: must be a finite number"),
        ("limits: {duration_s: -1}", "limits.duration_s: should be greater than 0, not -1"),
        ("limits: {max_trials: 0}",
         "limits.max_trials: should be greater than or equal to 1, not 0"),
        ("stop: {max_invocations_per_min: 0}",
         "stop.max_invocations_per_min: should be greater than 0, not 0"),
        ("stop: {flat_invocations: maybe}",
         "stop.flat_invocations: 'maybe' is not one of 'stop' or 'continue'"),
    ],
)  # fmt: skip
def test_a_limit_target_or_stop_that_means_nothing_is_refused(refusals, line, problem):
    found = refusals(job(line))
    assert f"6: {problem}" in found
    # a job of -1 s is also shorter than its traffic
    assert len(found) == (2 if "duration_s: -1" in line else 1)


@pytest.mark.parametrize("name", ["-a", "a-", "a_b", "a b", "", "a" * 65, '"a\\n"'])
def test_a_name_outside_the_reference_services_pattern_is_refused(refusals, name):
    (problem,) = refusals(job(name=f"name: {name or chr(34) * 2}"))
    assert problem.startswith("1: name: string should match pattern")


@pytest.mark.parametrize("name", ["a", "a" * 64, "a--b", "resnet50-threads", "1"])
def test_a_name_of_letters_digits_and_inner_hyphens_is_accepted(load, name):
    assert load(job(name=f'name: "{name}"')).name == name


# -- what contradicts what ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traffic", "longer"),
    [
        # the sum of the phases counts
        ("{type: phases, phases: [{initial_users: 1, duration_s: 60}, "
         "{initial_users: 2, duration_s: 41}]}", "101"),
        ("{type: stairs, users_per_step: 1, steps: 2, duration_s: 100.5}", "100.5"),
        ("{type: users, users: 1, duration_s: 101}", "101"),
        ("{type: rate, per_s: 1, duration_s: 101}", "101"),
        ("{type: saturate, budget_s: 101}", "101"),
    ],
)  # fmt: skip
def test_traffic_longer_than_the_job_is_refused(refusals, traffic, longer):
    assert refusals(job("limits: {duration_s: 100}", traffic=f"traffic: {traffic}")) == [
        f"5: traffic: traffic of {longer} s is longer than the job's limits.duration_s 100 s; "
        "shorten it or raise the limit"
    ]


@pytest.mark.parametrize(
    "traffic", ["{type: users, users: 1}", "{type: rate, per_s: 1}", "{type: saturate}"]
)
def test_traffic_of_the_default_length_is_also_held_against_the_job(refusals, traffic):
    (problem,) = refusals(job("limits: {duration_s: 30}", traffic=f"traffic: {traffic}"))
    assert problem.startswith("5: traffic: traffic of 60 s is longer than the job's")


def test_traffic_is_held_against_the_default_length_of_a_job(refusals):
    (problem,) = refusals(job(traffic="traffic: {type: users, users: 1, duration_s: 7201}"))
    assert "7201 s is longer than the job's limits.duration_s 7200 s" in problem


def test_traffic_as_long_as_the_job_is_accepted(load):
    spec = load(job("limits: {duration_s: 60}", traffic="traffic: {type: users, users: 1}"))
    assert spec.limits.duration_s == 60


def test_a_job_without_traffic_searches_for_a_minute(load):
    assert load(job(traffic="")).traffic == SearchTraffic(budget_s=60.0)


def test_a_confirmation_that_takes_the_whole_budget_is_refused(refusals):
    traffic = "traffic: {type: search, budget_s: 600, confirm_s: 600}"
    assert refusals(job(traffic=traffic)) == [
        "5: traffic.confirm_s: confirm_s 600 leaves too little of budget_s 600 to search in; "
        "raise the budget"
    ]


def test_a_default_job_chooses_its_candidates_and_looks_for_maxima(refusals):
    assert refusals(job("type: default", traffic="traffic: {type: users, users: 1}")) == [
        "4: candidates: type default chooses them itself; remove them, or give type advanced",
        "5: traffic.type: type default looks for maxima and users has none; "
        "give search or saturate",
    ]


def test_a_default_job_has_no_server_that_already_runs(refusals):
    server = "server: {url: 'http://a/', protocol: raw}"
    assert refusals(job("type: default", server=server, candidates="", traffic="")) == [
        "2: server.url: type default starts the server on what it chooses; give command or image"
    ]


def test_knobs_belong_to_a_default_job(refusals):
    server = "server: {command: [serve, '{port}'], knobs: knobs.yaml}"
    assert refusals(job(server=server)) == [
        "2: server.knobs: knobs belong to type default; remove them, or sweep in candidates"
    ]


def test_a_default_job_needs_no_candidates_and_is_held_to_its_own_length(load, refusals):
    assert load(job("type: default", candidates="", traffic="")).candidates == ()
    traffic = "traffic: {type: search, budget_s: 3000}"
    long = job("type: default", candidates="", traffic=traffic)
    assert "longer than the job's limits.duration_s 2700 s" in refusals(long)[0]


def test_tfs_grpc_needs_an_input_and_takes_nothing_of_http(refusals):
    more = "request: {path: /p, method: PUT}, ready_path: /ready"
    text = job(server=f'server: {{command: ["{{port}}"], protocol: tfs-grpc, {more}}}')
    assert [problem.partition(": ")[2] for problem in refusals(text)] == [
        "server.ready_path: ready_path belongs to HTTP, not to tfs-grpc; remove it",
        "server.request.input: tfs-grpc puts the payload into a named input; give the signature's",
        "server.request.method: method belongs to HTTP, not to tfs-grpc; remove it",
        "server.request.path: path belongs to HTTP, not to tfs-grpc; remove it",
    ]


def test_tls_belongs_to_an_https_url_and_a_key_to_its_certificate(refusals):
    text = job(server="server: {url: http://a:1, tls: {key: k.pem}}")
    assert [problem.partition(": ")[2] for problem in refusals(text)] == [
        "server.tls: tls belongs to an https url; remove it",
        "server.tls.key: a key without its certificate; give cert",
    ]


def test_saturate_takes_no_latency_limit(refusals):
    text = job("limit: {latency_ms: 250}", traffic="traffic: {type: saturate}")
    assert refusals(text) == [
        "6: limit.latency_ms: saturate takes no latency limit; remove it or use other traffic"
    ]


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        # nothing that could answer
        ("{}", "server: no way to reach a server; give command, image or url"),
        ("{protocol: raw}", "server: no way to reach a server; give command, image or url"),
        # two ways that exclude each other
        ('{command: ["{port}"], url: "http://a/"}',
         "server.url: url excludes command and image; keep one"),
        ('{image: a, url: "http://a/"}', "server.url: url excludes command and image; keep one"),
        # what a container may do, without one
        ('{command: ["{port}"], container: {writable_root: true}}',
         "server.container: container belongs to image; remove it"),
        # hooks without the url they belong to
        ('{command: ["{port}"], hooks: {before_trial: [x]}}',
         "server.hooks: hooks belong to url; remove them"),
        # a command that nobody could find again
        ("{command: [serve]}",
         "server.command: the command has no {port}; add it, or give server.port"),
        ('{command: ["{port}"], port: 8080}',
         "server.port: port contradicts {port} in the command; keep one"),
        ("{command: [serve], port: 70000}",
         "server.port: should be less than or equal to 65535, not 70000"),
        # no archive to unpack
        ('{command: ["{port}", "{model_dir}"]}',
         "server.command: the command uses {model_dir}; give model.archive"),
        # names in braces that mean nothing
        ('{command: ["{port}", "--dir={modeldir}"]}',
         "server.command: unknown placeholder {modeldir}; known are python, port, model_dir; "
         "{{ is a brace"),
        ('{command: ["{port}", "{}"]}',
         "server.command: unknown placeholder {}; known are python, port, model_dir; "
         "{{ is a brace"),
        # not a list of words
        ("{command: serve}", "server.command: must be a list"),
        ("{command: []}", "server.command: must not be empty; list at least one"),
        ('{command: ["{port}", 5]}', "server.command[1]: should be a valid string, not 5"),
        # a reply that can never pass
        ('{command: ["{port}"], response: {min_bytes: 9, max_bytes: 8}}',
         "server.response.min_bytes: min_bytes 9 is above max_bytes 8; no reply can pass"),
        # times that mean nothing
        ('{command: ["{port}"], request_timeout_s: .inf}',
         "server.request_timeout_s: must be a finite number"),
        # a protocol nobody speaks
        ('{command: ["{port}"], protocol: soap}',
         "server.protocol: 'soap' is not one of 'sagemaker', 'tfs-rest', 'tfs-grpc' or 'raw'"),
        ("serve.py", "server: must be a mapping of keys to values"),
    ],
)  # fmt: skip
def test_a_server_that_contradicts_itself_is_refused(refusals, server, problem):
    assert refusals(job(server=f"server: {server}")) == [f"2: {problem}"]


def test_a_server_that_listens_on_a_fixed_port_needs_no_placeholder(load):
    assert load(job(server="server: {command: [serve], port: 8080}")).server.port == 8080


def test_replies_of_exactly_one_length_may_be_asked_for(load):
    server = 'server: {command: ["{port}"], response: {min_bytes: 8, max_bytes: 8}}'
    response = load(job(server=server)).server.response
    assert (response.min_bytes, response.max_bytes) == (8, 8)


def test_hooks_go_with_a_url(load):
    server = load(
        job(server='server: {url: "http://10.0.0.5:8000/", hooks: {before_trial: [reset, now]}}')
    ).server
    assert (server.url, server.hooks.before_trial) == ("http://10.0.0.5:8000/", ("reset", "now"))


# -- candidates --------------------------------------------------------------------------------


def candidate(environment: str) -> str:
    return job(
        candidates=f"candidates: [{{instance_type: local.1cpu, environment: {environment}}}]"
    )


@pytest.mark.parametrize(
    ("written", "values"),
    [
        # a scalar is fixed, a list is swept, in the order written
        ('"1"', ("1",)),
        ('["2", "1"]', ("2", "1")),
        # integers are taken as they were written
        ("010", ("010",)),
        ("[0x10, +5, 1_000, 0b1]", ("0x10", "+5", "1_000", "0b1")),
        # quoted booleans and floats, and what YAML 1.2 calls words
        ('["true", "1.5", yes]', ("true", "1.5", "yes")),
        # an empty string is a value
        ('""', ("",)),
    ],
)
def test_environment_values_stay_as_they_were_written(load, written, values):
    assert load(candidate(f"{{A: {written}}}")).candidates[0].environment == {"A": values}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("true", 'environment values are strings; quote it: "true"'),
        ("1.5", 'environment values are strings; quote it: "1.5"'),
        (".inf", 'environment values are strings; quote it: "inf"'),
        ("null", "environment values are strings; quote it"),
        ("{B: 1}", "environment values are strings; quote it"),
        # each wrong value of a sweep is told
        ("[true, ok, 1.5]", 'environment values are strings; quote it: "true"; '
         'environment values are strings; quote it: "1.5"'),
        ("[]", "an empty sweep has no candidate; list at least one value"),
        ('["1", 1]', "the same value is listed twice; keep one"),
        ('"a\\0b"', "an environment value cannot hold a NUL character; remove it"),
    ],
)  # fmt: skip
def test_environment_values_that_are_no_strings_are_refused(refusals, written, problem):
    assert refusals(candidate(f"{{A: {written}}}")) == [
        f"4: candidates[0].environment.A: {problem}"
    ]
    if not written.startswith("["):
        # the server's own variables follow the same rule, but may be secrets
        server = f'server: {{command: ["{{port}}"], environment: {{A: {written}}}}}'
        (found,) = refusals(job(server=server))
        is_mapping = written.startswith("{")
        assert found == "2: server.environment.A: " + (
            "a secret is written {secret: NAME}; name a variable" if is_mapping else problem
        )


@pytest.mark.parametrize("secret", ["{secret: 5}", "{secret: ''}", "{secret: A, x: 1}", "{}"])
def test_a_secret_is_a_name_and_nothing_else(refusals, secret):
    server = f'server: {{command: ["{{port}}"], environment: {{A: {secret}}}}}'
    assert refusals(job(server=server)) == [
        "2: server.environment.A: a secret is written {secret: NAME}; name a variable"
    ]


def test_a_secret_is_kept_by_its_name_alone(load, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", "hunter2")
    text = job(server='server: {command: ["{port}"], environment: {T: {secret: MODEL_TOKEN}}}')
    stored = load(text).model_dump_json()
    assert "hunter2" not in stored
    assert json.loads(stored)["server"]["environment"] == {"T": {"secret": "MODEL_TOKEN"}}


def test_a_variables_name_cannot_hold_an_equals_sign(refusals):
    (problem,) = refusals(candidate('{"A=B": "1"}'))
    assert problem.startswith("4: candidates[0].environment.A=B: string should match pattern")


def test_an_empty_sweep_of_candidates_is_refused(refusals):
    assert refusals(job(candidates="candidates: []")) == [
        "4: candidates: must not be empty; list at least one"
    ]


def test_a_candidate_written_twice_is_refused(refusals):
    twice = "candidates: [{instance_type: a}, {instance_type: b}, {instance_type: a}]"
    assert refusals(job(candidates=twice)) == [
        "4: candidates[2]: repeats candidates[0]; remove one"
    ]


def test_values_that_differ_only_in_how_they_are_written_are_different_candidates(load):
    entries = [f"{{instance_type: a, environment: {{A: {value}}}}}" for value in ("010", "10")]
    spec = load(job(candidates=f"candidates: [{', '.join(entries)}]"))
    assert [c.environment["A"] for c in spec.candidates] == [("010",), ("10",)]


def test_candidates_that_all_bring_their_own_server_need_no_other(load):
    entries = '[{instance_type: a, command: ["{port}"]}, {instance_type: a, image: b}]'
    spec = load(job(server="server: {protocol: raw}", candidates=f"candidates: {entries}"))
    assert [(c.command, c.image) for c in spec.candidates] == [(("{port}",), None), (None, "b")]


def test_one_candidate_without_a_server_is_one_too_many(refusals):
    entries = '[{instance_type: a, command: ["{port}"]}, {instance_type: b}]'
    assert refusals(job(server="server: {protocol: raw}", candidates=f"candidates: {entries}")) == [
        "2: server: no way to reach a server; give command, image or url"
    ]


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ("command: [serve]", "4: candidates[0].command: the command has no {port}; add it, or "
         "give server.port"),
        ('command: ["{port}", "{nope}"]', "4: candidates[0].command: unknown placeholder {nope}; "
         "known are python, port, model_dir; {{ is a brace"),
        ("command: []", "4: candidates[0].command: must not be empty; list at least one"),
    ],
)  # fmt: skip
def test_a_candidates_own_command_is_held_to_the_same_rules(refusals, own, problem):
    assert refusals(job(candidates=f"candidates: [{{instance_type: a, {own}}}]")) == [problem]


def test_a_candidates_own_server_contradicts_a_url(refusals):
    text = job(
        server='server: {url: "http://a/"}',
        candidates="candidates: [{instance_type: a, image: b}]",
    )
    assert refusals(text) == ["2: server.url: url excludes command and image; keep one"]


# -- placeholders ------------------------------------------------------------------------------

VALUES = {"python": "/usr/bin/python3", "port": "8080", "model_dir": "/m"}


@pytest.mark.parametrize(
    ("word", "names", "filled"),
    [
        ("serve.py", [], "serve.py"),
        ("{port}", ["port"], "8080"),
        ("--bind=127.0.0.1:{port}", ["port"], "--bind=127.0.0.1:8080"),
        ("{python}:{port}", ["python", "port"], "/usr/bin/python3:8080"),
        # doubled braces are braces
        ("{{port}}", [], "{port}"),
        ("{{{port}}}", ["port"], "{8080}"),
        # a single brace that names nothing stays
        ("a{b", [], "a{b"),
        ("a}b", [], "a}b"),
        # the name is found where the word goes on with a brace, as in JSON
        ('{{"p": {port}}}', ["port"], '{"p": 8080}'),
        ('{ "p": {port}}', ["port"], '{ "p": 8080}'),
        ("", [], ""),
    ],
)
def test_names_in_braces_are_found_and_filled_alike(word, names, filled):
    assert names_in(word) == names
    assert fill(word, VALUES) == filled


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("content_type: application/x-image", 'content_type: "a\\r\\nX-Evil: 1"'),
        ("headers: {}", 'headers: {"X:": "1"}'),
        ("headers: {}", 'headers: {X: "1\\n2"}'),
    ],
)
def test_a_header_that_would_write_others_is_refused(refusals, old, new):
    text = full().replace(old, new)
    assert text != full()
    [problem] = refusals(text)
    assert "should match pattern" in problem


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("url: http://127.0.0.1:99999", "no address: Port out of range"),
        ("url: http://127.0.0.1:abc/", "no address: Port could not be cast"),
        ("url: ftp://127.0.0.1/", "must begin with http://"),
        ("url: http:///nowhere", "must begin with http://"),
        ("url: http://127.0.0.1/?x=1", "a query belongs to request.path"),
    ],
)
def test_an_address_that_cannot_be_called_is_refused(refusals, server, said):
    text = job(server=f"server: {{{server}, protocol: raw}}")
    assert any(said in problem for problem in refusals(text))


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_headers_that_frame_a_request_are_refused(name):
    with pytest.raises(ValidationError, match="client's own"):
        RequestSpec.model_validate({"headers": {name: "5"}})


@pytest.mark.parametrize(
    "traffic",
    [
        "{type: stairs, users_per_step: 1, steps: 1000000000, duration_s: 60}",
        "{type: rate, per_s: 1.0e+300}",
        "{type: users, users: 1, duration_s: 1.0e+12}",
        "{type: phases, phases: [{initial_users: 1, spawn_rate_per_min: 1.0e+9, duration_s: 60}]}",
    ],
)
def test_absurd_sizes_are_refused_at_once(refusals, traffic):
    assert refusals(job(traffic=f"traffic: {traffic}"))


def test_a_url_holds_no_password(refusals):
    [said] = refusals(job(server="server: {url: 'http://me:hunter2@a:1/'}"))
    assert "a URL holds no user or password; give an authorization header" in said
    assert "hunter2" not in said

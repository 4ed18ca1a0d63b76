"""What `measure` was asked for: address, traffic, headers, and what is wrong with them."""

from __future__ import annotations

import math

import pytest
from rightsizer.errors import UsageError
from rightsizer.measure_spec import headers_of, measurement_spec
from rightsizer.spec import RateTraffic, SaturateTraffic, SearchTraffic, UsersTraffic

URL = "http://10.0.0.5:8000/predict"


def spec(url: str = URL, **options):
    return measurement_spec(url, "body.json", {"limit_ms": 250.0, **options})


def refused(url: str = URL, **options) -> str:
    with pytest.raises(UsageError) as raised:
        spec(url, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("url", "base", "path"),
    [
        ("http://h", "http://h", "/"),
        ("http://h/", "http://h", "/"),
        ("http://h:8000/a/b?c=d#e", "http://h:8000", "/a/b?c=d"),
        ("https://h?c=d", "https://h", "/?c=d"),
        ("http://[::1]:8000/a", "http://[::1]:8000", "/a"),
        ("http://Host/A/", "http://host", "/A/"),
    ],
)
def test_of_raw_the_url_is_the_whole_address(url, base, path):
    server = spec(url).server
    assert (server.url, server.request.path) == (base, path)
    assert server.protocol == "raw"


def test_of_other_protocols_the_url_is_the_base():
    server = spec("http://h:8000/models/", protocol="sagemaker").server
    assert (server.url, server.request.path) == ("http://h:8000/models", None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "no http or https address"),
        ("ftp://h/", "no http or https address"),
        ("http://", "no http or https address"),
        ("", "no http or https address"),
        ("http://h:99999/", "range"),
        ("http://h:eighty/", "eighty"),
        ("http://h/a b", "percent-encode"),
        ("http://h/\u00e4", "percent-encode"),
        ("http://h/\n", "percent-encode"),
        ("http://[::1/", "http://HOST:PORT/PATH"),
        ("http://me:hush@h/", "--header 'Authorization"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_what_to_do(url, said):
    assert said in refused(url)


def test_a_password_in_an_address_is_shown_as_the_user_typed_it_only_to_him():
    assert "a base has no query" in refused("http://h/?a=b", protocol="sagemaker")


@pytest.mark.parametrize(
    ("options", "traffic"),
    [
        ({}, SearchTraffic(type="search", budget_s=60.0)),
        ({"traffic": "search", "budget_s": 30}, SearchTraffic(type="search", budget_s=30)),
        ({"traffic": "users:8"}, UsersTraffic(type="users", users=8, duration_s=60.0)),
        ({"traffic": "rate:2.5"}, RateTraffic(type="rate", per_s=2.5, duration_s=60.0)),
        (
            {"traffic": "rate:40:constant", "duration_s": 9.5},
            RateTraffic(type="rate", per_s=40.0, arrivals="constant", duration_s=9.5),
        ),
        (
            {"traffic": "saturate", "limit_ms": None, "budget_s": 20.0},
            SaturateTraffic(type="saturate", budget_s=20.0),
        ),
    ],
)
def test_traffic_is_that_of_a_job(options, traffic):
    assert spec(**options).traffic == traffic


@pytest.mark.parametrize(
    "traffic",
    ["", "stairs", "users", "users:", "users:many", "users:1.5", "users:1:2", "rate", "rate:fast",
     "rate:1:even", "search:5", "Users:3", "saturate:"],
)  # fmt: skip
def test_unknown_traffic_is_refused_with_the_forms_there_are(traffic):
    said = refused(traffic=traffic)
    assert f"--traffic {traffic!r} is not known" in said
    assert "users:N, rate:R or rate:R:constant" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"traffic": "users:0"}, "--traffic: "),
        ({"traffic": "rate:0"}, "--traffic: "),
        ({"traffic": "rate:nan"}, "--traffic: must be a finite number"),
        ({"traffic": "rate:inf"}, "--traffic: must be a finite number"),
        ({"traffic": "users:1", "duration_s": math.nan}, "--duration-s: must be a finite number"),
        ({"traffic": "users:1", "duration_s": math.inf}, "--duration-s: must be a finite number"),
        ({"traffic": "users:1", "duration_s": 0.0}, "--duration-s: should be greater than 0"),
        ({"budget_s": math.nan}, "--budget-s: must be a finite number"),
        ({"budget_s": -1.0}, "--budget-s: should be greater than 0"),
        ({"limit_ms": math.nan}, "--limit-ms: must be a finite number"),
        ({"limit_ms": 0.0}, "--limit-ms: should be greater than 0"),
        ({"timeout_s": math.inf}, "--timeout-s: must be a finite number"),
        ({"target_per_min": math.nan}, "--target: must be a finite number"),
        ({"percentile": "P75"}, "--percentile: 'P75' is not one of"),
        ({"protocol": "grpc"}, "--protocol: 'grpc' is not one of"),
        ({"protocol": "tfs-grpc"}, "--input: tfs-grpc puts the payload into a named input"),
        ({"seed": -1}, "--seed: should be greater than or equal to 0"),
        ({"content_type": "a\r\nb: c"}, "--content-type: "),
        ({"headers": {"X": "a\r\nb: c"}}, "--header: "),
        ({"headers": {"X Y": "a"}}, "--header: "),
        ({"traffic": "saturate"}, "--limit-ms: saturate takes no latency limit"),
        ({"traffic": "users:1", "budget_s": 9.0}, "--budget-s does not go with --traffic users"),
        ({"duration_s": 9.0}, "--duration-s does not go with --traffic search; give --budget-s"),
    ],
)
def test_what_is_wrong_is_named_by_its_option(options, said):
    assert said in refused(**options)


def test_everything_wrong_is_said_at_once():
    said = refused(limit_ms=-1.0, seed=-1, traffic="users:0")
    assert all(option in said for option in ("--limit-ms: ", "--seed: ", "--traffic: "))


def test_traffic_longer_than_a_job_may_last_is_as_long_as_was_asked_for():
    assert spec(traffic="users:1", duration_s=100_000.0).traffic.duration_s == 100_000.0


def test_a_header_is_split_at_its_first_colon():
    assert headers_of(["X-Time: 12:30", "Accept:*/*"]) == {"X-Time": "12:30", "Accept": "*/*"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["plain"], "write it NAME:VALUE"),
        ([": value"], "write it NAME:VALUE"),
        (["A: 1", "a: 2"], "given twice"),
    ],
)
def test_a_header_without_a_name_or_twice_is_refused(lines, said):
    with pytest.raises(UsageError, match=said):
        headers_of(lines)

"""What `measure` was asked for, as the job of one candidate that it is. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from pydantic import ValidationError

from rightsizer.contradictions import DEFAULT_JOB_S, contradictions
from rightsizer.documents import Location, Problem, problems_of
from rightsizer.errors import UsageError
from rightsizer.spec import JobSpec

READY_S = 3.0
"""How long an endpoint that runs already may take to accept a connection and answer a probe: a
moment of a restart, not a load of a model."""

_TRAFFIC_FORMS = "give search, saturate, users:N, rate:R or rate:R:constant (R is per second)"

_OPTIONS: Mapping[Location, str] = {
    ("server", "url"): "URL",
    ("server", "protocol"): "--protocol",
    ("server", "request", "headers"): "--header",
    ("server", "request", "path"): "URL",
    ("server", "request", "model"): "--model",
    ("server", "request", "signature"): "--signature",
    ("server", "request", "input"): "--input",
    ("server", "request_timeout_s"): "--timeout-s",
    ("payload", "content_type"): "--content-type",
    ("payload", "seed"): "--seed",
    ("limit", "latency_ms"): "--limit-ms",
    ("limit", "percentile"): "--percentile",
    ("target",): "--target",
    ("traffic", "duration_s"): "--duration-s",
    ("traffic", "budget_s"): "--budget-s",
    ("traffic",): "--traffic",
}
"""What the user wrote for each place of the job that is made of it."""


class Options(TypedDict, total=False):
    """What may be said beside address and payload. None is the same as not said."""

    content_type: str | None
    """Of the payload; application/octet-stream."""
    protocol: str | None
    """raw, sagemaker, tfs-rest or tfs-grpc; raw. Of raw the URL is the whole address, else the
    base."""
    model: str | None
    """Of tfs-rest and tfs-grpc: the model's name; model."""
    signature: str | None
    """The model's; serving_default."""
    input: str | None
    """The signature's input that a payload becomes; tfs-grpc needs it."""
    headers: Mapping[str, str] | None
    limit_ms: float | None
    """Limit on the latency at `percentile`; none."""
    percentile: str | None
    """P50, P90, P95 or P99; P95."""
    timeout_s: float | None
    """Of one request, in all; 10."""
    target_per_min: float | None
    """Invocations a minute to carry: sizes a fleet."""
    traffic: str | None
    """search, saturate, users:N, rate:R or rate:R:constant; search."""
    duration_s: float | None
    """Of users and rate; 60."""
    budget_s: float | None
    """Of search and saturate; 60."""
    seed: int | None
    """Of the order of payloads and of Poisson arrivals; 1."""


def measurement_spec(url: str, payload: str | Path, options: Options) -> JobSpec:
    """The job of one candidate at `url`, checked as a job file is.

    Raises:
        UsageError: everything wrong, by the names of the command's options.
    """
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    protocol = given.get("protocol", "raw")
    base, path = _address(url, is_whole=protocol == "raw")
    traffic = _traffic(given)
    longest_s = traffic.get("duration_s", traffic.get("budget_s"))
    data: dict[str, Any] = {
        "name": "measurement",
        "server": {
            "url": base,
            "protocol": protocol,
            "request": {
                "path": path,
                "headers": dict(given.get("headers", {})),
                **_renamed(given, model="model", signature="signature", input="input"),
            },
            "ready_timeout_s": READY_S,
            **_renamed(given, timeout_s="request_timeout_s"),
        },
        "payload": {
            "archive": str(payload),
            **_renamed(given, content_type="content_type", seed="seed"),
        },
        "candidates": [{"instance_type": url}],
        "traffic": traffic,
        "limit": _renamed(given, limit_ms="latency_ms", percentile="percentile"),
        # The clock of a job does not apply: the traffic's own length is what was asked for.
        "limits": {"duration_s": _at_least_finite(longest_s)},
    }
    if "target_per_min" in given:
        data["target"] = {"invocations_per_min": given["target_per_min"]}
    return _checked(data)


def headers_of(lines: Iterable[str]) -> dict[str, str]:
    """`K:V` of each `--header`; the text after the first colon is the value.

    Raises:
        UsageError: one has no colon, or a name comes twice.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not name:
            raise UsageError(f"--header {line!r} has no name and value", "", "write it NAME:VALUE")
        if name.lower() in {known.lower() for known in headers}:
            raise UsageError(f"--header {name} is given twice", "", "keep one")
        headers[name] = value.strip()
    return headers


def _checked(data: dict[str, Any]) -> JobSpec:
    try:
        spec = JobSpec.model_validate(data)
    except ValidationError as error:
        raise _usage(problems_of(error, data)) from None
    found = contradictions(data)
    if found:
        raise _usage(found)
    return spec


def _usage(problems: Iterable[Problem]) -> UsageError:
    said = dict.fromkeys(f"{_option(problem.at)}: {problem.message}" for problem in problems)
    return UsageError("; ".join(said))


def _option(at: Location) -> str:
    for length in range(len(at), 0, -1):
        if at[:length] in _OPTIONS:
            return _OPTIONS[at[:length]]
    return ".".join(map(str, at))


def _renamed(given: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {name: given[option] for option, name in names.items() if option in given}


def _at_least_finite(length_s: Any) -> float:
    # One that is not finite is complained of where it was given.
    is_number = isinstance(length_s, int | float) and math.isfinite(length_s)
    return max(DEFAULT_JOB_S, float(length_s)) if is_number else DEFAULT_JOB_S


def _address(url: str, *, is_whole: bool) -> tuple[str, str | None]:
    """Scheme, host and port (and a base's path), and the path of a whole address."""
    what = f"URL {url!r} cannot be used"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(what, str(error), "write it http://HOST:PORT/PATH") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(what, "it is no http or https address", "write it http://HOST:PORT/PATH")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(what, "it holds other than plain characters", "percent-encode them")
    if "@" in parts.netloc:
        why = "it holds a user's name or password"
        raise UsageError(what, why, "give them as --header 'Authorization: Basic ...'")
    # An IPv6 address stands in brackets, which `hostname` takes off.
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    base = f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
    query = f"?{parts.query}" if parts.query else ""
    if is_whole:
        return base, (parts.path or "/") + query
    if query:
        raise UsageError(what, "a base has no query", "remove it, or use --protocol raw")
    return base + parts.path.rstrip("/"), None


def _traffic(given: Mapping[str, Any]) -> dict[str, Any]:
    """The job's `traffic` of `--traffic`, `--duration-s` and `--budget-s`."""
    text = given.get("traffic", "search")
    kind, *values = text.split(":")
    try:
        match kind, values:
            case "search", []:
                traffic: dict[str, Any] = {"type": "search"}
            case "saturate", []:
                traffic = {"type": "saturate"}
            case "users", [users]:
                traffic = {"type": "users", "users": int(users)}
            case "rate", [rate]:
                traffic = {"type": "rate", "per_s": float(rate)}
            case "rate", [rate, "poisson" | "constant" as arrivals]:
                traffic = {"type": "rate", "per_s": float(rate), "arrivals": arrivals}
            case _:
                raise ValueError(text)
    except ValueError:
        raise UsageError(f"--traffic {text!r} is not known", "", _TRAFFIC_FORMS) from None
    own, other = ("duration_s", "budget_s")
    if kind in ("search", "saturate"):
        own, other = other, own
    if other in given:
        wrong, right = (f"--{name.replace('_', '-')}" for name in (other, own))
        raise UsageError(f"{wrong} does not go with --traffic {kind}", "", f"give {right}")
    return {**traffic, **_renamed(given, **{own: own})}

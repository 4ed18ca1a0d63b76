"""What no single key of a job file shows: keys that exclude, require or repeat each other.

Works on raw data and is tolerant of everything else wrong in it, so that all problems show at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeGuard

from rightsizer.documents import Problem
from rightsizer.placeholders import KNOWN, names_in

DEFAULT_JOB_S = 7200.0
DEFAULT_TYPE_JOB_S = 2700.0
"""The same of type default."""
DEFAULT_TRAFFIC_S = 60.0
"""`duration_s` of users and rate, `budget_s` of saturate and search."""
MOST_SPAWNED = 1000
MOST_CONFIRM_RATIO = 0.95
"""Of a search's budget. A soak's confirmation is most of it."""


def contradictions(data: dict[str, Any]) -> list[Problem]:
    """What no single key shows. Reads raw data, for other parts of it may be wrong."""
    return [
        *_type_contradictions(data),
        *_server_contradictions(data),
        *_traffic_contradictions(data),
        *_repeated_candidates(data),
    ]


def _type_contradictions(data: dict[str, Any]) -> list[Problem]:
    """Advanced jobs are given their candidates, default ones choose them."""
    server = _section(data, "server")
    if data.get("type") != "default":
        problems = []
        if "candidates" not in data:
            message = "required key is missing; add it, or give type default"
            problems.append(Problem(("candidates",), message))
        if server.get("knobs") is not None:
            message = "knobs belong to type default; remove them, or sweep in candidates"
            problems.append(Problem(("server", "knobs"), message))
        if data.get("instance_types") is not None:
            message = "instance_types belongs to type default; name them in candidates"
            problems.append(Problem(("instance_types",), message))
        return problems
    problems = []
    if data.get("candidates") is not None:
        message = "type default chooses them itself; remove them, or give type advanced"
        problems.append(Problem(("candidates",), message))
    if server.get("url") is not None:
        message = "type default starts the server on what it chooses; give command or image"
        problems.append(Problem(("server", "url"), message))
    kind = _section(data, "traffic").get("type", "search")
    if kind in ("phases", "stairs", "users", "rate"):
        message = f"type default looks for maxima and {kind} has none; give search or saturate"
        problems.append(Problem(("traffic", "type"), message))
    return problems


def _server_contradictions(data: dict[str, Any]) -> list[Problem]:
    if not isinstance(data.get("server"), dict):
        return []
    server = _section(data, "server")
    problems = []
    given = [key for key in ("command", "image", "url") if server.get(key) is not None]
    brought = [
        c
        for c in _list(data, "candidates")
        if isinstance(c, dict) and (c.get("command") or c.get("image"))
    ]
    if not given and len(brought) < max(1, len(_list(data, "candidates"))):
        problems.append(
            Problem(("server",), "no way to reach a server; give command, image or url")
        )
    if "url" in given and (len(given) > 1 or brought):
        problems.append(Problem(("server", "url"), "url excludes command and image; keep one"))
    hooked = _section(server, "hooks").get("before_trial")
    swept = any(isinstance(c, dict) and c.get("environment") for c in _list(data, "candidates"))
    if "url" in given and swept and not hooked:
        message = "variables cannot reach a server that runs already; give hooks.before_trial"
        problems.append(Problem(("server", "url"), message))
    if server.get("hooks") and "url" not in given:
        problems.append(Problem(("server", "hooks"), "hooks belong to url; remove them"))
    if server.get("container") and not ("image" in given or any(c.get("image") for c in brought)):
        problems.append(Problem(("server", "container"), "container belongs to image; remove it"))
    if server.get("tls") is not None and not str(server.get("url")).startswith("https:"):
        problems.append(Problem(("server", "tls"), "tls belongs to an https url; remove it"))
    tls = _section(server, "tls")
    if tls.get("key") is not None and tls.get("cert") is None:
        problems.append(
            Problem(("server", "tls", "key"), "a key without its certificate; give cert")
        )
    commands = [(("server", "command"), server.get("command"))]
    for i, candidate in enumerate(_list(data, "candidates")):
        if isinstance(candidate, dict):
            commands.append((("candidates", i, "command"), candidate.get("command")))  # type: ignore[arg-type]
    for at, command in commands:
        problems += _command_problems(at, command, server, data)
    if server.get("protocol") == "tfs-grpc":
        problems += _grpc_problems(server)
    response = _section(server, "response")
    low, high = response.get("min_bytes"), response.get("max_bytes")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        message = f"min_bytes {low} is above max_bytes {high}; no reply can pass"
        problems.append(Problem(("server", "response", "min_bytes"), message))
    return problems


def _grpc_problems(server: dict[str, Any]) -> list[Problem]:
    request = _section(server, "request")
    problems = []
    if not request.get("input"):
        message = "tfs-grpc puts the payload into a named input; give the signature's"
        problems.append(Problem(("server", "request", "input"), message))
    http: list[tuple[str, ...]] = [
        ("request", key) for key in ("path", "method") if request.get(key) is not None
    ]
    http += [("ready_path",)] if server.get("ready_path") is not None else []
    for at in http:
        message = f"{at[-1]} belongs to HTTP, not to tfs-grpc; remove it"
        problems.append(Problem(("server", *at), message))
    return problems


def unknown_placeholders(at: tuple[str | int, ...], words: Sequence[str]) -> list[Problem]:
    """Names in braces of a command that nothing is put for."""
    names = {name for part in words for name in names_in(part)}
    return [
        Problem(
            at, f"unknown placeholder {{{name}}}; known are {', '.join(KNOWN)}; {{{{ is a brace"
        )
        for name in sorted(names - set(KNOWN))
    ]


def _command_problems(
    at: tuple[str | int, ...], command: Any, server: dict[str, Any], data: dict[str, Any]
) -> list[Problem]:
    words = command if isinstance(command, list) else []
    if not words or not all(isinstance(part, str) for part in words):
        return []
    names = {name for part in words for name in names_in(part)}
    problems = unknown_placeholders(at, words)
    if "port" not in names and server.get("port") is None:
        problems.append(Problem(at, "the command has no {port}; add it, or give server.port"))
    if "port" in names and server.get("port") is not None:
        problems.append(
            Problem(("server", "port"), "port contradicts {port} in the command; keep one")
        )
    if "model_dir" in names and not _section(data, "model").get("archive"):
        problems.append(Problem(at, "the command uses {model_dir}; give model.archive"))
    return problems


def _traffic_contradictions(data: dict[str, Any]) -> list[Problem]:
    traffic, limits = _section(data, "traffic"), _section(data, "limits")
    problems = []
    usual_s = DEFAULT_TYPE_JOB_S if data.get("type") == "default" else DEFAULT_JOB_S
    job_s = limits.get("duration_s", usual_s)
    length = _traffic_s(traffic)
    if _number(length) and _number(job_s) and length > job_s:
        message = f"traffic of {length:g} s is longer than the job's limits.duration_s {job_s:g} s"
        problems.append(Problem(("traffic",), f"{message}; shorten it or raise the limit"))
    for i, phase in enumerate(_list(traffic, "phases")):
        if isinstance(phase, dict):
            rate, phase_s = phase.get("spawn_rate_per_min"), phase.get("duration_s")
            if _number(rate) and _number(phase_s) and rate * phase_s / 60 > MOST_SPAWNED:
                message = f"spawns {rate * phase_s / 60:.3g} users; {MOST_SPAWNED} is the most"
                problems.append(Problem(("traffic", "phases", i, "spawn_rate_per_min"), message))
    confirm_s, budget_s = traffic.get("confirm_s"), traffic.get("budget_s", DEFAULT_TRAFFIC_S)
    if _number(confirm_s) and _number(budget_s) and confirm_s > MOST_CONFIRM_RATIO * budget_s:
        message = f"confirm_s {confirm_s:g} leaves too little of budget_s {budget_s:g} to search in"
        problems.append(Problem(("traffic", "confirm_s"), f"{message}; raise the budget"))
    if traffic.get("type") == "saturate" and _section(data, "limit").get("latency_ms") is not None:
        message = "saturate takes no latency limit; remove it or use other traffic"
        problems.append(Problem(("limit", "latency_ms"), message))
    return problems + (_rate_contradictions(traffic) if traffic.get("type") == "rate" else [])


def _rate_contradictions(rate: dict[str, Any]) -> list[Problem]:
    given = [key for key in ("per_s", "times_s", "per_min") if rate.get(key) is not None]
    problems = []
    if not given:
        message = "required key is missing; add it, or times_s or per_min for a trace"
        problems.append(Problem(("traffic", "per_s"), message))
    problems += [
        Problem(("traffic", key), f"{key} excludes {given[0]}; keep one") for key in given[1:]
    ]
    is_gamma = rate.get("arrivals") == "gamma"
    if is_gamma and rate.get("cv") is None:
        message = "required key is missing: gamma arrivals need the variation of their gaps"
        problems.append(Problem(("traffic", "cv"), message))
    if rate.get("cv") is not None and not is_gamma:
        problems.append(Problem(("traffic", "cv"), "cv belongs to arrivals gamma; remove it"))
    if given and given[0] != "per_s" and rate.get("arrivals") is not None:
        message = "a trace has its own arrivals; remove it"
        problems.append(Problem(("traffic", "arrivals"), message))
    return problems


def _traffic_s(traffic: dict[str, Any]) -> Any:
    """How long one trial's traffic lasts, as far as it can be told."""
    match traffic.get("type"):
        case "phases":
            phases = [p.get("duration_s") for p in _list(traffic, "phases") if isinstance(p, dict)]
            return sum(value for value in phases if _number(value))
        case "stairs":
            return traffic.get("duration_s")
        case "rate" if traffic.get("per_s") is None:
            return traffic.get("duration_s")
        case "users" | "rate":
            return traffic.get("duration_s", DEFAULT_TRAFFIC_S)
    return traffic.get("budget_s", DEFAULT_TRAFFIC_S)


def _repeated_candidates(data: dict[str, Any]) -> list[Problem]:
    keyed = [
        (repr(candidate), ("candidates", i))
        for i, candidate in enumerate(_list(data, "candidates"))
    ]
    keyed.sort()
    return [
        Problem(later[1], f"repeats candidates[{earlier[1][1]}]; remove one")
        for earlier, later in pairwise(keyed)
        if earlier[0] == later[0]
    ]


def _section(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    return value if isinstance(value, list) else []


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value

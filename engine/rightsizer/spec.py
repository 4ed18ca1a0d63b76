"""The job file: every key with its type, unit and default, checked strictly and all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema

from rightsizer.contradictions import DEFAULT_JOB_S, DEFAULT_TRAFFIC_S, contradictions
from rightsizer.documents import Document, Strict, WrittenInt, problems_of, read_document
from rightsizer.errors import ProblemsError
from rightsizer.trace_numbers import counts_per_min, instants_s, numbers_schema, or_file

NAME_PATTERN = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,63}$"

PositiveFloat = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]
"""A week at most: more is a slip of the pen, and overflows timers."""
PositiveInt = Annotated[int, Field(ge=1)]


class SecretRef(Strict):
    """A variable whose value comes from the engine's own environment and is never stored."""

    secret: str = Field(min_length=1)


def _environment_value(value: Any) -> str:
    if isinstance(value, WrittenInt):
        return value.text
    if isinstance(value, bool | float):
        raise ValueError(f'environment values are strings; quote it: "{str(value).lower()}"')
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("environment values are strings; quote it")
    if "\0" in value:
        raise ValueError("an environment value cannot hold a NUL character; remove it")
    return value


def _fixed_value(value: Any) -> str | SecretRef:
    if not isinstance(value, dict):
        return _environment_value(value)
    name = value.get("secret")
    if set(value) != {"secret"} or not isinstance(name, str) or not name:
        raise ValueError("a secret is written {secret: NAME}; name a variable")
    return SecretRef(secret=name)


def _swept_values(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return (_environment_value(value),)
    values: list[str] = []
    wrong: list[str] = []
    for item in value:
        try:
            values.append(_environment_value(item))
        except ValueError as error:
            wrong.append(str(error))
    if not value:
        wrong.append("an empty sweep has no candidate; list at least one value")
    if len(set(values)) < len(values):
        wrong.append("the same value is listed twice; keep one")
    if wrong:
        raise ValueError("; ".join(dict.fromkeys(wrong)))
    return tuple(values)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"no address: {error}; give http://HOST:PORT/") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(
            "must begin with http:// or https:// and a host, as in http://10.0.0.5:8000/"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no user or password; give an authorization header")
    if parts.query or parts.fragment:
        raise ValueError("is the base of all requests; a query belongs to request.path")
    return url


def _free_header(name: str) -> str:
    if name.lower() in FRAMING_HEADERS:
        raise ValueError(f"{name} is the client's own to set; remove it")
    return name


Address = Annotated[str, AfterValidator(_checked_url)]
FRAMING_HEADERS = ("content-length", "transfer-encoding", "connection")
_STRING = {"type": ["string", "integer"]}
HeaderName = Annotated[
    str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"), AfterValidator(_free_header)
]
# Printable ASCII: a line break would write headers of its own.
HeaderValue = Annotated[str, Field(pattern=r"^[ -~]+$")]
EnvironmentName = Annotated[str, Field(pattern=r"^[^=\x00]+$")]
FixedValue = Annotated[
    str | SecretRef,
    BeforeValidator(_fixed_value),
    WithJsonSchema(
        {"anyOf": [_STRING, {"type": "object", "properties": {"secret": {"type": "string"}}}]}
    ),
]
SweptValues = Annotated[
    tuple[str, ...],
    BeforeValidator(_swept_values),
    WithJsonSchema({"anyOf": [_STRING, {"type": "array", "items": _STRING, "minItems": 1}]}),
]


class ModelSpec(Strict):
    """The model, for the record; `archive` is a model.tar.gz unpacked before the server starts."""

    name: str = "model"
    framework: str = ""
    domain: str = ""
    task: str = ""
    archive: str | None = None


class RequestSpec(Strict):
    """What one invocation looks like. Defaults depend on the protocol."""

    path: str | None = Field(default=None, pattern=r"^/\S*$")
    method: Literal["POST", "PUT", "GET"] = "POST"
    headers: dict[HeaderName, HeaderValue] = {}
    model: str | None = None
    signature: str = "serving_default"
    input: str | None = None


class ResponseSpec(Strict):
    """The response check: a reply that fails it is an error, not an invocation."""

    min_bytes: int | None = Field(default=None, ge=0)
    max_bytes: int | None = Field(default=None, ge=0)
    contains: str | None = None
    """Text that a sampled share of the replies must contain; read off the measured path."""


class HooksSpec(Strict):
    """Commands run around each trial of a server that already runs (`url`)."""

    before_trial: tuple[str, ...] | None = Field(default=None, strict=False)
    after_trial: tuple[str, ...] | None = Field(default=None, strict=False)


class TlsSpec(Strict):
    """PEM files for an https `url`: the authority to trust, and who we are."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class ContainerSpec(Strict):
    """What a container may do beyond the least, and the sizes of what it gets; docker hosts."""

    network: Literal["internal", "bridge"] = "internal"
    """`bridge` can reach other machines; `internal` nobody but the generator."""
    writable_root: bool = False
    capabilities: tuple[Annotated[str, Field(pattern=r"^[A-Z_]+$")], ...] = Field(
        default=(), strict=False
    )
    """Kernel capabilities such as NET_BIND_SERVICE; none without it."""
    new_privileges: bool = False
    user: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]+(:[a-zA-Z0-9_.-]+)?$")] | None = None
    """Instead of the image's own, as NAME, UID or UID:GID."""
    tmp_mib: Annotated[int, Field(ge=1)] = 256
    """Size of /tmp and of each of `writable`, in memory, MiB."""
    writable: tuple[Annotated[str, Field(pattern=r"^/[^:,\x00]+$")], ...] = Field(
        default=(), strict=False
    )
    """More folders that can be written, each empty at the start and in memory as /tmp is."""
    shm_mib: Annotated[int, Field(ge=1)] | None = None
    """Size of /dev/shm, MiB; half of the instance type's memory unless given."""
    open_files: Annotated[int, Field(ge=64)] = 16384
    """Open files and connections of a process: the same on every host."""
    pids: Annotated[int, Field(ge=16)] | None = None
    """Processes and threads; 1024, and 256 more for each vCPU, unless given."""


class ServerSpec(Strict):
    """How the server is started, or where it already runs."""

    command: tuple[str, ...] | None = Field(default=None, strict=False, min_length=1)
    image: str | None = None
    url: Address | None = None
    tls: TlsSpec | None = None
    container: ContainerSpec = ContainerSpec()
    hooks: HooksSpec = HooksSpec()
    port: int | None = Field(default=None, ge=1, le=65535)
    """A port the command always listens on, for servers that cannot be told one."""
    protocol: Literal["sagemaker", "tfs-rest", "tfs-grpc", "raw"] = "sagemaker"
    request: RequestSpec = RequestSpec()
    response: ResponseSpec = ResponseSpec()
    environment: dict[EnvironmentName, FixedValue] = {}
    ready_path: str | None = Field(default=None, pattern=r"^/\S*$")
    ready_timeout_s: Seconds = 120.0
    request_timeout_s: Seconds = 10.0
    knobs: str | None = None
    """A knobs file, for type default; else the one beside the command's file, or the image's."""


class PayloadSpec(Strict):
    """The request bodies: an archive of them, or one file."""

    archive: str
    content_type: HeaderValue = "application/octet-stream"
    seed: int = Field(default=1, ge=0)


class CandidateSpec(Strict):
    """One instance type and the variables swept on it; it may bring its own server."""

    instance_type: str = Field(min_length=1)
    environment: dict[EnvironmentName, SweptValues] = {}
    command: tuple[str, ...] | None = Field(default=None, strict=False, min_length=1)
    image: str | None = None


class PhaseSpec(Strict):
    """users(t) = initial_users + floor(spawn_rate_per_min * t / 60)."""

    initial_users: PositiveInt
    spawn_rate_per_min: float = Field(default=0.0, ge=0)
    duration_s: Seconds


class PhasesTraffic(Strict):
    """Closed traffic in phases, as the reference service's PHASES."""

    type: Literal["phases"]
    phases: tuple[PhaseSpec, ...] = Field(strict=False, min_length=1)


class StairsTraffic(Strict):
    """Closed traffic in equal steps; `duration_s` is the whole, a step is duration / steps."""

    type: Literal["stairs"]
    users_per_step: PositiveInt
    steps: Annotated[int, Field(ge=1, le=1000)]
    duration_s: Seconds


class UsersTraffic(Strict):
    """Closed traffic at one level."""

    type: Literal["users"]
    users: PositiveInt
    duration_s: Seconds = DEFAULT_TRAFFIC_S


class RateTraffic(Strict):
    """Open traffic on an absolute schedule, whatever the server does: a rate, or a trace."""

    type: Literal["rate"]
    per_s: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    arrivals: Literal["poisson", "constant", "gamma"] = "poisson"
    cv: float | None = Field(default=None, ge=0.01, le=10)
    """Coefficient of variation of the gaps of gamma arrivals: 1 is Poisson, 0 were constant."""
    times_s: Annotated[
        str | tuple[float, ...] | None,
        BeforeValidator(or_file(instants_s)),
        numbers_schema("number"),
    ] = None
    """A trace, instead of `per_s`: FILE of arrival times in s, one a line, or a list of them."""
    per_min: Annotated[
        str | tuple[int, ...] | None,
        BeforeValidator(or_file(counts_per_min)),
        numbers_schema("integer"),
    ] = None
    """A trace, instead of `per_s`: FILE of requests per minute, one a line, or a list of them."""
    duration_s: Seconds = DEFAULT_TRAFFIC_S
    """Of a trace: its own length unless given."""


class SaturateTraffic(Strict):
    """Closed traffic, more users until throughput is flat; takes no latency limit."""

    type: Literal["saturate"]
    budget_s: Seconds = DEFAULT_TRAFFIC_S


class SearchTraffic(Strict):
    """Open traffic placed by the engine: the highest rate within the limit."""

    type: Literal["search"] = "search"
    budget_s: Seconds = DEFAULT_TRAFFIC_S
    confirm_s: Seconds | None = None
    """Of the budget, for the confirmation; 600 makes it a soak."""


Traffic = Annotated[
    PhasesTraffic | StairsTraffic | UsersTraffic | RateTraffic | SaturateTraffic | SearchTraffic,
    Field(discriminator="type"),
]


class LimitSpec(Strict):
    """The promise: a latency percentile in ms, and a ratio of errors."""

    percentile: Literal["P50", "P90", "P95", "P99"] = "P95"
    latency_ms: PositiveFloat | None = None
    max_error_ratio: float = Field(default=0.01, ge=0, lt=1)


class TargetSpec(Strict):
    """The load to carry, and how the fleet for it is sized."""

    invocations_per_min: PositiveFloat
    max_utilisation_ratio: float = Field(default=1.0, gt=0, le=1)
    min_instances: PositiveInt = 1
    spare_instances: int = Field(default=0, ge=0)


class StopSpec(Strict):
    """What ends a trial early; its maximum is then `at_least`."""

    max_invocations_per_min: PositiveFloat | None = None
    flat_invocations: Literal["stop", "continue"] = "stop"


class LimitsSpec(Strict):
    """Bounds on the job itself. `duration_s` is wall time."""

    max_trials: PositiveInt = 20
    max_parallel_trials: PositiveInt = 1
    duration_s: Seconds = DEFAULT_JOB_S


class JobSpec(Strict):
    """A job file."""

    name: str = Field(pattern=NAME_PATTERN)
    type: Literal["advanced", "default"] = "advanced"
    model: ModelSpec = ModelSpec()
    server: ServerSpec
    payload: PayloadSpec
    candidates: tuple[CandidateSpec, ...] = Field(default=(), strict=False, min_length=1)
    """Of type default those that were chosen, once the job is planned; never the user's."""
    instance_types: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), strict=False
    )
    """Of type default: it chooses from these alone; without it, from all that hosts offer."""
    traffic: Traffic = SearchTraffic()
    limit: LimitSpec = LimitSpec()
    target: TargetSpec | None = None
    stop: StopSpec = StopSpec()
    limits: LimitsSpec = LimitsSpec()
    hosts: str | None = None
    prices: str | None = None


def load_spec(path: Path) -> JobSpec:
    """Read and check a job file.

    Raises:
        InputError: the file cannot be read or is not YAML.
        ProblemsError: everything wrong in it, one line each with file, line and field.
    """
    return parse_spec(read_document(path))


def parse_spec(document: Document) -> JobSpec:
    """Check a document against `JobSpec`; raises ProblemsError with all problems."""
    problems = list(document.problems)
    data = document.data if document.data is not None else {}
    spec: JobSpec | None = None
    try:
        spec = JobSpec.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, data)
    if isinstance(data, dict):
        problems += contradictions(data)
    if problems or spec is None:
        raise ProblemsError(document.render(problems))
    return spec


if __name__ == "__main__":
    # Publishes the schema: python -m rightsizer.spec > engine/rightsizer/job.schema.json
    import json
    import sys

    sys.stdout.write(json.dumps(JobSpec.model_json_schema(), indent=2) + "\n")

"""What a hosts file declares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from rightsizer.accelerators import ID
from rightsizer.addresses import address_problem
from rightsizer.documents import Problem, Strict, problems_of, read_document
from rightsizer.errors import ProblemsError
from rightsizer.machines import format_cpus, parse_cpus

MAX_CPU = 8191
"""The highest CPU number Linux is built for."""


class Provided(Strict):
    """An instance type that a host is, or stands in for."""

    instance_type: str = Field(min_length=1)
    stands: Literal["native", "stand-in"] = Field(alias="as")
    cpus: int | None = Field(default=None, ge=1)
    memory_gib: float | None = Field(default=None, gt=0)
    accelerators: int | None = Field(default=None, ge=0)
    """How many stand for the type's; 0 for a stand-in without any."""


class TlsFiles(Strict):
    """Files for a tcp:// address."""

    ca: str
    cert: str
    key: str


def _cpu_list(text: str) -> str:
    for part in text.split(","):
        low, _, high = part.partition("-")
        if int(low) > int(high or low) or int(high or low) > MAX_CPU:
            raise ValueError(f"{part!r} names no CPUs; write lowest-highest, such as 0-3")
    return text


CpuList = Annotated[
    str, Field(pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"), AfterValidator(_cpu_list)
]


def _address(text: str) -> str:
    if not re.match(r"(unix|ssh|tcp)://.", text):
        raise ValueError(
            f"{text!r} is no address; write unix://PATH, ssh://HOST or tcp://HOST:PORT"
        )
    return text


Address = Annotated[str, AfterValidator(_address)]
AcceleratorId = Annotated[str, Field(pattern=f"^({ID})$")]


class HostSpec(Strict):
    """One host of a hosts file. CPU lists read like `0-1,4`."""

    name: str = Field(min_length=1)
    kind: Literal["process", "docker"] = "process"
    address: Address | None = None
    tls: TlsFiles | None = None
    server_cpus: CpuList | None = None
    generator_cpus: CpuList | None = None
    accelerators: tuple[AcceleratorId, ...] | None = Field(default=None, strict=False)
    """Those that servers may have; of a far host, whose tools cannot be asked, all it has."""
    publish: bool = False
    provides: tuple[Provided, ...] = Field(default=(), strict=False)


class _HostsFile(Strict):
    hosts: tuple[HostSpec, ...] = Field(strict=False, min_length=1)


THIS_MACHINE = HostSpec(name="local")


def load_hosts(path: Path) -> tuple[HostSpec, ...]:
    """Read a hosts file; raises ProblemsError with everything wrong in it."""
    document = read_document(path)
    problems = list(document.problems)
    hosts: tuple[HostSpec, ...] = ()
    try:
        hosts = _HostsFile.model_validate(document.data).hosts
    except ValidationError as error:
        problems += problems_of(error, document.data)
    problems += _host_contradictions(hosts)
    if problems:
        raise ProblemsError(document.render(problems))
    return hosts


def _host_contradictions(hosts: Sequence[HostSpec]) -> list[Problem]:
    problems = []
    names = [host.name for host in hosts]
    for i, host in enumerate(hosts):
        at = ("hosts", i)
        if names.index(host.name) != i:
            problems.append(Problem((*at, "name"), f"{host.name!r} is taken; rename one"))
        if host.kind == "process" and (host.address or host.tls or host.publish):
            message = "a process host is this machine; remove address, tls and publish"
            problems.append(Problem(at, message))
        wrong = address_problem(host.address or "", host.tls is not None)
        if wrong is not None:
            problems.append(Problem((*at, wrong[0]), wrong[1]))
        if host.server_cpus and host.generator_cpus:
            both = set(parse_cpus(host.server_cpus)) & set(parse_cpus(host.generator_cpus))
            if both:
                message = f"CPUs {format_cpus(sorted(both))} are also the server's; keep them apart"
                problems.append(Problem((*at, "generator_cpus"), message))
    return problems

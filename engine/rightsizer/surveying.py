"""Asking every host of a hosts file what it offers; nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rightsizer.catalog import load_catalog
from rightsizer.containers import EngineFacts, images_of
from rightsizer.errors import EnvironmentFault, UsageError
from rightsizer.hosts.accelerator_probe import with_accelerators
from rightsizer.hosts.docker.access import access_problem
from rightsizer.hosts.docker.engine import Engine, EngineGone, Refused, tls_of
from rightsizer.hosts.docker.survey import resolved, survey
from rightsizer.hosts.docker.transfer import copy_image
from rightsizer.hosts.lease import leased_accelerators, leased_cpus
from rightsizer.hosts.probe import this_machine
from rightsizer.inventory import THIS_MACHINE, HostSpec
from rightsizer.offers import HostOffer, offer_of
from rightsizer.preparation import hosts_of
from rightsizer.spec import JobSpec, load_spec

AT_ONCE = 8
"""A host that is down takes its time to be found so."""


def survey_hosts(hosts_file: Path | None = None, job_file: Path | None = None) -> list[HostOffer]:
    """The hosts of a hosts file, else of a job's, else this machine.

    A job file says which images to look for, and its price file adds instance types.

    Raises:
        ProblemsError: one of the files is wrong.
        InputError: or cannot be read.
    """
    spec = None if job_file is None else load_spec(job_file)
    images: tuple[str, ...] = ()
    prices = None
    if spec is not None and job_file is not None:
        images = images_of(spec.server, [candidate.image for candidate in spec.candidates])
        prices = job_file.absolute().parent / spec.prices if spec.prices else None
    hosts = _hosts(hosts_file, job_file, spec)
    machine = with_accelerators(this_machine(), {})
    catalog = load_catalog(machine.size, prices)
    leased = {f"CPU {cpu}": owner for cpu, owner in leased_cpus().items()} | leased_accelerators()

    def ask(host: HostSpec) -> EngineFacts | None:
        return survey(host, images) if host.kind == "docker" else None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        engines = pool.map(ask, hosts)
        return [
            offer_of(host, machine, engine, catalog, images, leased)
            for host, engine in zip(hosts, engines, strict=True)
        ]


def copy_to_hosts(
    image: str, hosts_file: Path | None = None, job_file: Path | None = None
) -> Iterator[str]:
    """Have an image of the engine here on every Docker host; what was done, one line a host.

    Raises:
        ProblemsError, InputError: as `survey_hosts`.
        UsageError: no host has another engine than the one here.
        EnvironmentFault: it is not here, an engine does not answer, or refuses it.
    """
    spec = None if job_file is None else load_spec(job_file)
    here = resolved(HostSpec(name="here", kind="docker"), Path())
    assert here.address is not None
    elsewhere = [
        host
        for host in _hosts(hosts_file, job_file, spec)
        if host.kind == "docker" and host.address != here.address
    ]
    if not elsewhere:
        raise UsageError(
            f"image {image} has nowhere to go",
            f"no host has another Docker engine than the one here, {here.address}",
            "name one in a hosts file",
        )
    for host in elsewhere:
        assert host.address is not None
        what = f"image {image} was not copied to host {host.name}"
        tls = tls_of(host)
        if wrong := access_problem(host.address, tls):
            raise EnvironmentFault(what, wrong)
        try:
            with Engine(here.address) as source, Engine(host.address, tls) as target:
                copied = copy_image(image, source, target)
        except (EngineGone, Refused) as error:
            raise EnvironmentFault(what, str(error), "see `docker image ls` here") from None
        yield f"{host.name}: {image} {'copied' if copied else 'was there'}"


def _hosts(
    hosts_file: Path | None, job_file: Path | None, spec: JobSpec | None
) -> tuple[HostSpec, ...]:
    if hosts_file is None and job_file is not None and spec is not None and spec.hosts:
        hosts_file = job_file.absolute().parent / spec.hosts
    return (THIS_MACHINE,) if hosts_file is None else hosts_of(hosts_file)

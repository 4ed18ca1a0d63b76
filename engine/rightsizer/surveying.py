"""Asking every host of a hosts file what it offers; nothing is started."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rightsizer.catalog import load_catalog
from rightsizer.containers import EngineFacts, images_of
from rightsizer.hosts.accelerator_probe import with_accelerators
from rightsizer.hosts.docker.survey import survey
from rightsizer.hosts.lease import leased_accelerators, leased_cpus
from rightsizer.hosts.probe import this_machine
from rightsizer.inventory import THIS_MACHINE, HostSpec
from rightsizer.offers import HostOffer, offer_of
from rightsizer.preparation import hosts_of
from rightsizer.spec import load_spec

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
        folder = job_file.absolute().parent
        images = images_of(spec.server, [candidate.image for candidate in spec.candidates])
        prices = folder / spec.prices if spec.prices else None
        hosts_file = hosts_file or (folder / spec.hosts if spec.hosts else None)
    hosts = (THIS_MACHINE,) if hosts_file is None else hosts_of(hosts_file)
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

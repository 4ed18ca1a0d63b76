"""All that a job reads before it starts anything: spec, payload, prices, hosts, machine, plan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rightsizer.archives import regular_file_bytes, verify
from rightsizer.catalog import Catalog, load_catalog
from rightsizer.containers import images_of
from rightsizer.defaults import Choice, chosen
from rightsizer.errors import EnvironmentFault, InputError
from rightsizer.hosts.accelerator_probe import with_accelerators
from rightsizer.hosts.docker.survey import resolved, survey
from rightsizer.hosts.lease import leased_accelerators, leased_cpus
from rightsizer.hosts.probe import this_machine
from rightsizer.hosts.trust import Tls, trust_of
from rightsizer.inventory import THIS_MACHINE, HostSpec, load_hosts
from rightsizer.knob_files import knobs_file, knobs_of
from rightsizer.machines import Machine
from rightsizer.offers import offer_of
from rightsizer.payloads import PayloadSet, load_payloads
from rightsizer.plan import Plan
from rightsizer.planning import make_plan
from rightsizer.protocols import Request, request_of
from rightsizer.spec import JobSpec, SecretRef, ServerSpec, load_spec
from rightsizer.traces import with_trace


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to run. Nothing of it is live."""

    spec: JobSpec
    base_dir: Path
    """The job file's folder: paths in fields are relative to it, commands run in it."""
    payloads: PayloadSet
    request: Request
    catalog: Catalog
    machine: Machine
    plan: Plan
    secrets: Mapping[str, str]
    """Values of secret variables by variable name; never stored."""
    choice: Choice | None
    """How a default job came by its candidates; None of any other, and of a stored one."""
    digests: Mapping[str, str]
    """sha256 of every input file; `resume` refuses a job whose inputs changed."""

    def path(self, given: str) -> Path:
        """A path of the job file."""
        return self.base_dir / given


def prepare(job_file: Path) -> Prepared:
    """Read and check everything that a job file names, and plan it.

    Raises:
        InputError: the job file, or a file it names.
        EnvironmentFault: a secret variable is not set.
    """
    return prepare_spec(load_spec(job_file), job_file.absolute().parent)


@dataclass(frozen=True)
class Planned:
    """As much of a job as is known without its model and payload."""

    spec: JobSpec
    catalog: Catalog
    machine: Machine
    plan: Plan
    choice: Choice | None
    knobs_digest: Mapping[str, str]


def planned(spec: JobSpec, base_dir: Path) -> Planned:
    """Where a job would run and what it would measure; its archives need not be there yet.

    Raises:
        InputError: the price, hosts or knobs file, or the job asks for too much.
        EnvironmentFault: no host offers an instance type to a default job.
    """
    machine = with_accelerators(this_machine(), leased_accelerators())
    prices = base_dir / spec.prices if spec.prices else None
    hosts: Sequence[HostSpec] = (THIS_MACHINE,)
    if spec.hosts:
        hosts = hosts_of(base_dir / spec.hosts)
    catalog = load_catalog(machine.size, prices)
    images = images_of(spec.server, [candidate.image for candidate in spec.candidates])
    engines = {host.name: survey(host, images) for host in hosts if host.kind == "docker"}
    choice = None
    knobs_digest: dict[str, str] = {}
    if spec.type == "default" and not spec.candidates:  # a stored job has them
        knobs = knobs_of(spec.server, base_dir, engines.values())
        knobs_digest = _knobs_digest(spec, base_dir)
        able = [host for host in hosts if can_start(host, spec.server)]
        offers = [offer_of(h, machine, engines.get(h.name), catalog) for h in able]
        spec, choice = chosen(spec, offers, catalog, machine, knobs)
    plan = make_plan(spec, catalog, hosts, machine, frozenset(leased_cpus()), engines)
    return Planned(spec, catalog, machine, plan, choice, knobs_digest)


def prepare_spec(spec: JobSpec, base_dir: Path) -> Prepared:
    """`prepare` for a spec that was read before."""
    found = planned(with_trace(spec, base_dir), base_dir)
    spec, plan = found.spec, found.plan
    tls = tls_of(spec.server, base_dir)
    if tls is not None:
        require_usable(tls)
    if spec.model.archive:
        verify(base_dir / spec.model.archive)
    payloads = load_payloads(base_dir / spec.payload.archive, spec.payload.content_type)
    return Prepared(
        spec=spec,
        base_dir=base_dir,
        payloads=payloads,
        request=request_of(spec.server, payloads.payloads),
        catalog=found.catalog,
        machine=found.machine,
        plan=plan,
        secrets=_secrets(spec),
        choice=found.choice,
        digests={**_digests(spec, base_dir, payloads), **_image_ids(plan), **found.knobs_digest},
    )


def can_start(host: HostSpec, server: ServerSpec) -> bool:
    """Commands run on process hosts, images on docker hosts."""
    return bool(server.command if host.kind == "process" else server.image)


def hosts_of(path: Path) -> tuple[HostSpec, ...]:
    """The hosts of a hosts file, its Docker hosts with address and whole paths."""
    folder = path.absolute().parent
    return tuple(
        resolved(host, folder) if host.kind == "docker" else host for host in load_hosts(path)
    )


def tls_of(server: ServerSpec, base_dir: Path) -> Tls | None:
    """The server's TLS files, their paths taken from the job file's folder."""
    if server.tls is None:
        return None
    given = (server.tls.ca, server.tls.cert, server.tls.key)
    return Tls(*(None if path is None else str(base_dir / path) for path in given))


def require_usable(tls: Tls) -> None:
    """Refuse TLS files that no connection could be made with; raises InputError."""
    for path in (tls.ca, tls.cert, tls.key):
        if path is not None:
            regular_file_bytes(Path(path))
    try:
        trust_of(tls)
    except OSError as error:
        what = ", ".join(str(path) for path in (tls.ca, tls.cert, tls.key) if path)
        why = error.strerror or str(error)
        raise InputError(f"server.tls cannot be used: {what}", why, "give PEM files") from None


def _secrets(spec: JobSpec) -> dict[str, str]:
    values, missing = {}, []
    for variable, value in spec.server.environment.items():
        if isinstance(value, SecretRef):
            if value.secret in os.environ:
                values[variable] = os.environ[value.secret]
            else:
                missing.append(value.secret)
    if missing:
        names = ", ".join(missing)
        raise EnvironmentFault(
            f"secret {names} is not set", "server.environment takes it from here", f"export {names}"
        )
    return values


def _image_ids(plan: Plan) -> dict[str, str]:
    """What each image meant when the plan was made: a name may come to mean another."""
    return {
        f"image {option.container.image} of {option.host.name}": option.container.image_id
        for option in plan.options
        if option.container is not None
    }


def _digests(spec: JobSpec, base_dir: Path, payloads: PayloadSet) -> dict[str, str]:
    digests = {"payload": payloads.digest}
    for name, given in (
        ("model", spec.model.archive),
        ("prices", spec.prices),
        ("hosts", spec.hosts),
    ):
        if given:
            digests[name] = _sha256(base_dir / given)
    return digests


def _knobs_digest(spec: JobSpec, base_dir: Path) -> dict[str, str]:
    """For the record, where candidates are chosen from it: `resume` has them and reads no knobs."""
    path = knobs_file(spec.server, base_dir)
    return {} if path is None else {"knobs": _sha256(path)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"cannot read {path}", why, "give the path of a file") from None

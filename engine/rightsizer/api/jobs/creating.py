"""CreateInferenceRecommendationsJob and StopInferenceRecommendationsJob.

The service model declares ResourceInUse (the name is taken) and ResourceLimitExceeded of the first,
and not ResourceNotFound: a model, package or endpoint that is not there is a ValidationException.
Of the second it declares ResourceNotFound alone, so a job that has ended is left as it is without
an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from rightsizer.api.context import Answer, Context, Request
from rightsizer.api.faults import ApiFault, in_use, validation
from rightsizer.api.fetching import check_url
from rightsizer.api.images import LocalServer, local_server
from rightsizer.api.jobs.naming import ENDED, arn_of_job, job_named, status_of
from rightsizer.api.jobs.rules import require_allowed
from rightsizer.api.jobs.sources import Source, source_of
from rightsizer.api.jobs.specs import spec_of
from rightsizer.api.settings import EndpointSpec
from rightsizer.api.tags import checked_tags
from rightsizer.catalog import Catalog, load_catalog
from rightsizer.errors import InputError, ProblemsError
from rightsizer.inventory import THIS_MACHINE, HostSpec, load_hosts
from rightsizer.job_heads import heads_named
from rightsizer.machines import Machine
from rightsizer.placing import NotRunnable, part_of
from rightsizer.preparation import can_start
from rightsizer.spec import JobSpec
from rightsizer.store import NameTaken

FEW_TYPES = 5
"""So many of a caller's instance types are named in an error."""


def create_job(context: Context, request: Request) -> Answer:
    """Check a job, keep it and queue it. Nothing is fetched or started before its turn.

    Raises:
        ApiFault: ResourceInUse where the name is taken, by a job of the command line too;
            ValidationException for all else. Then nothing is kept.
    """
    require_allowed(request)
    name, tags = request["JobName"], checked_tags(request)
    if heads_named(context.store, name):
        raise _taken(name)
    source = source_of(context, request["InputConfig"])
    server = _server_of(context, request["InputConfig"], source)
    if isinstance(server, EndpointSpec):  # which has its model
        source = replace(source, model_url=None)
    _require_reachable(context, source)
    spec = _spec(context, request, source, server)
    inputs = {
        "job_file": "",
        "base_dir": str(context.base_dir),
        "prices": {},
        "time_scale": context.time_scale,
        "image_note": server.note if isinstance(server, LocalServer) else "",
        "sources": {"payload": source.payload_url, "model": source.model_url},
    }
    kept = spec.model_dump(mode="json")
    if not spec.candidates:  # which are chosen when its turn comes
        del kept["candidates"]
    arn = arn_of_job(context, name)
    with context.registry.together():
        try:
            context.store.create_job(name, spec.type, kept, inputs, request=dict(request))
        except NameTaken:
            raise _taken(name) from None
        context.registry.tag(arn, tags)
    context.wake()
    return {"JobArn": arn}


def _taken(name: str) -> ApiFault:
    return in_use(f"Job {name} already exists; choose another name.")


def _server_of(
    context: Context, config: Mapping[str, Any], source: Source
) -> LocalServer | EndpointSpec:
    if not (endpoints := config.get("Endpoints")):
        return _local(context, source)
    name = endpoints[0]["EndpointName"]
    for known in context.settings.endpoints:
        if known.name == name:
            return known
    raise validation(
        f"Endpoint {name} is not known here; give its url in `endpoints` of serve.yaml."
    )


def _local(context: Context, source: Source) -> LocalServer:
    server = local_server(source.image, context.settings)
    if source.model_url is None and any("{model_dir}" in word for word in server.command or ()):
        raise validation(
            f"Specify `ModelDataUrl` in {source.name}: what serves its image here needs a model."
        )
    return server


def _require_reachable(context: Context, source: Source) -> None:
    try:
        for url in filter(None, (source.payload_url, source.model_url)):
            check_url(url, context.settings, context.base_dir)
    except InputError as error:
        raise validation(str(error)) from None


def _spec(
    context: Context, request: Request, source: Source, server: LocalServer | EndpointSpec
) -> JobSpec:
    try:
        spec = spec_of(request, source, server, context.settings, context.time_scale)
    except ProblemsError as error:
        raise validation("; ".join(map(_in_callers_words, error.problems))) from None
    prices = context.base_dir / spec.prices if spec.prices else None
    try:
        catalog = load_catalog(context.machine.size, prices)
        hosts = load_hosts(context.base_dir / spec.hosts) if spec.hosts else (THIS_MACHINE,)
    except InputError as error:  # written wrongly since the server started
        raise validation("; ".join(str(error).splitlines())) from None
    given = [candidate.instance_type for candidate in spec.candidates]
    unknown = [name for name in dict.fromkeys(given) if catalog.find(name) is None]
    if unknown:
        raise validation(
            f"Size and price of {', '.join(unknown)} are not known here; give them in `prices` of "
            "serve.yaml."
        )
    able = [host for host in hosts if can_start(host, spec.server)]
    # What a Docker host is takes asking its engine; a server that runs is where it is.
    if not spec.server.url and all(host.kind == "process" for host in able):
        _require_offered(spec.instance_types or given, able, catalog, context.machine)
    return spec


def _in_callers_words(problem: str) -> str:
    """A problem of the engine's job by the member of the request, or the setting, it comes from."""
    problem = re.sub(r"\bcandidates(?:\[(\d+)\]|\.(\d+))", _configuration, problem)
    return problem.replace("server.command", "images of serve.yaml")


def _configuration(found: re.Match[str]) -> str:
    return f"EndpointConfigurations[{found[1] or found[2]}]"


def _require_offered(
    names: Sequence[str], hosts: Sequence[HostSpec], catalog: Catalog, machine: Machine
) -> None:
    """Refuse a job none of whose instance types a host can call itself, if it names any."""
    if not names or any(_is_offered(name, hosts, catalog, machine) for name in names):
        return
    few = ", ".join(names[:FEW_TYPES]) + (", ..." if len(names) > FEW_TYPES else "")
    raise validation(
        f"No host here offers {few}; declare a stand-in for one with `provides` in the hosts file, "
        "which is `hosts` of serve.yaml."
    )


def _is_offered(name: str, hosts: Sequence[HostSpec], catalog: Catalog, machine: Machine) -> bool:
    kind = catalog.find(name)
    if kind is None:
        return False
    if kind.accelerator and hosts:  # which of them are here is not looked up for each request
        return True
    for host in hosts:
        with suppress(NotRunnable):
            part_of(kind, host, machine)
            return True
    return False


def stop_job(context: Context, request: Request) -> Answer:
    """Ask a job to stop: its step ends and what it has is kept. One that has ended is left alone.

    Raises:
        ApiFault: ResourceNotFound.
    """
    head = job_named(context, request["JobName"])
    if status_of(context.store, head) not in ENDED:
        context.store.request_stop(head.id)
        context.wake()
    return {}

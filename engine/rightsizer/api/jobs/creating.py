"""CreateInferenceRecommendationsJob and StopInferenceRecommendationsJob."""

from __future__ import annotations

from typing import Any

from rightsizer.api.context import Answer, Context, Request
from rightsizer.api.faults import in_use, validation
from rightsizer.api.fetching import check_url
from rightsizer.api.images import LocalServer, local_server
from rightsizer.api.jobs.naming import ENDED, arn_of_job, job_named, status_of
from rightsizer.api.jobs.rules import require_allowed
from rightsizer.api.jobs.sources import Source, source_of
from rightsizer.api.jobs.specs import spec_of
from rightsizer.api.settings import EndpointSpec
from rightsizer.api.tags import checked_tags
from rightsizer.catalog import load_catalog
from rightsizer.errors import InputError
from rightsizer.job_heads import heads_named
from rightsizer.spec import JobSpec
from rightsizer.store import NameTaken


def create_job(context: Context, request: Request) -> Answer:
    """Check a job, keep it and queue it. Nothing is fetched or started before its turn.

    Raises:
        ApiFault: ResourceInUse where the name is taken, ValidationException for all else.
    """
    require_allowed(request)
    name = request["JobName"]
    if any(head.name == name for head in heads_named(context.store, name)):
        raise in_use(f"Job {name} already exists; choose another name.")
    tags = checked_tags(request)
    config = request["InputConfig"]
    source = source_of(context, config)
    server = _server_of(context, config, source)
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
    try:
        context.store.create_job(name, spec.type, kept, inputs, request=dict(request))
    except NameTaken:
        raise in_use(f"Job {name} already exists; choose another name.") from None
    arn = arn_of_job(context, name)
    context.registry.tag(arn, tags)
    context.wake()
    return {"JobArn": arn}


def _server_of(context: Context, config: Any, source: Source) -> LocalServer | EndpointSpec:
    for endpoint in config.get("Endpoints", ()):
        name = endpoint.get("EndpointName", "")
        known = {one.name: one for one in context.settings.endpoints}
        if name not in known:
            raise validation(
                f"Endpoint {name} is not known here; give its url in `endpoints` of serve.yaml."
            )
        return known[name]
    return local_server(source.image, context.settings)


def _require_reachable(context: Context, source: Source) -> None:
    try:
        for url in filter(None, (source.payload_url, source.model_url)):
            check_url(url, context.settings, context.base_dir)
    except InputError as error:
        raise validation(str(error)) from None


def _spec(
    context: Context, request: Request, source: Source, server: LocalServer | EndpointSpec
) -> JobSpec:
    spec = spec_of(request, source, server, context.settings, context.time_scale)
    prices = context.base_dir / spec.prices if spec.prices else None
    catalog = load_catalog(context.machine.size, prices)
    given = [candidate.instance_type for candidate in spec.candidates]
    unknown = [name for name in dict.fromkeys(given) if catalog.find(name) is None]
    if unknown:
        raise validation(
            f"Size and price of {', '.join(unknown)} are not known here; give them in `prices` of "
            "serve.yaml."
        )
    return spec


def stop_job(context: Context, request: Request) -> Answer:
    """Ask a job to stop: its step ends and what it has is kept. One that has ended is left alone.

    Raises:
        ApiFault: ResourceNotFound.
    """
    head = job_named(context, request["JobName"])
    status = status_of(context.store, head)
    if status in ENDED:
        return {}
    context.store.request_stop(head.id)
    context.wake()
    return {}

"""Jobs of the API that were run by its worker, on fake hosts and traffic."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rightsizer.api import worker
from rightsizer.api.settings import EndpointSpec, ImageSpec, Settings
from rightsizer.api.worker import Orders, work
from rightsizer.job_heads import JobHead, heads_named
from rightsizer.stop_switch import StopSwitch
from rightsizer.traffic.fake import FakeServer

from tests.api.calls import Api, api_in
from tests.api.jobs.requests import CONTAINER_CONFIG, IMAGE, ROLE, advanced, default
from tests.fakes import fake_outside

TYPES = ("ml.c5.large", "ml.c5.xlarge", "ml.m5.large")
"""No host tells them apart."""
SERVICE_MS = {"1": 100.0, "2": 50.0, "4": 50.0}
"""By OMP_NUM_THREADS."""


def threads_of(environment: Mapping[str, str]) -> FakeServer:
    return FakeServer(service_ms=[SERVICE_MS[environment.get("OMP_NUM_THREADS", "2")]])


@contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[Api]:
    """An API whose hosts offer TYPES, with a model called `resnet` and a payload to be read."""
    provides = "".join(
        f"      - {{instance_type: {name}, as: stand-in, cpus: 1, memory_gib: 1}}\n"
        for name in TYPES
    )
    (folder / "hosts.yaml").write_text(f"hosts:\n  - name: local\n    provides:\n{provides}")
    with tarfile.open(folder / "payload.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("body.txt")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    served = ImageSpec(uri="*", command=("{python}", "serve.py", "{port}"))
    endpoint = EndpointSpec(name="mine", url="http://127.0.0.1:9/")
    kept = Settings(
        **{
            "hosts": "hosts.yaml",
            "folders": (".",),
            "images": (served,),
            "endpoints": (endpoint,),
            **settings,
        }
    )
    with api_in(folder, kept) as api:
        api(
            "CreateModel",
            ModelName="resnet",
            PrimaryContainer={"Image": IMAGE},
            ExecutionRoleArn=ROLE,
        )
        yield api


def config(api: Api) -> dict[str, Any]:
    """ContainerConfig with a payload that the server may read."""
    url = f"file://{api.context.base_dir}/payload.tar.gz"
    payload = {**CONTAINER_CONFIG["PayloadConfig"], "SamplePayloadUrl": url}
    return {**CONTAINER_CONFIG, "PayloadConfig": payload}


def ask(api: Api, name: str, *, stopping: Mapping[str, Any] | None = None, **changed: Any) -> str:
    """Create an Advanced job; its ARN."""
    request = advanced(name, **{"ContainerConfig": config(api), **changed})
    if stopping:
        request["StoppingConditions"] = stopping
    return str(api("CreateInferenceRecommendationsJob", **request)["JobArn"])


def ask_default(api: Api, name: str, **changed: Any) -> None:
    """Create a Default job."""
    request = default(name, **{"ContainerConfig": config(api), **changed})
    api("CreateInferenceRecommendationsJob", **request)


def head_of(api: Api, name: str) -> JobHead:
    [head] = heads_named(api.context.store, name)
    return head


def work_on(
    api: Api,
    name: str,
    monkeypatch: Any,
    *,
    behaviour: Callable[[Mapping[str, str]], FakeServer] = threads_of,
    switch: StopSwitch | None = None,
    **outside: Any,
) -> JobHead:
    """Have the worker run a job to its end; how it stands then."""
    monkeypatch.setattr(
        worker, "real_outside", lambda: fake_outside(behaviour=behaviour, **outside)
    )
    context = api.context
    orders = Orders(str(context.store.folder), head_of(api, name).id, context.settings, None)
    work(orders, switch or StopSwitch())
    return head_of(api, name)

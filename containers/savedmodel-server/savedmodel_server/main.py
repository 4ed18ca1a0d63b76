"""From a command line to a serving process: read, bind, load, warm up, listen."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savedmodel_server import settings as settings_module
from savedmodel_server.counts import Counts
from savedmodel_server.errors import StartError
from savedmodel_server.instances import Announce, supervise
from savedmodel_server.layout import ModelFolder, find_model
from savedmodel_server.listening import (
    base_url,
    bind,
    listen,
    reserve,
    serve,
    serve_passed,
)
from savedmodel_server.settings import Settings

if TYPE_CHECKING:
    from savedmodel_server.app import App
    from savedmodel_server.grpc_listening import GrpcServer


@dataclass(frozen=True)
class _Plan:
    """What every serving process is made from."""

    settings: Settings
    folder: ModelFolder
    url: str
    counts: Counts
    grpc: socket.socket | None
    """Its port, reserved."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Serve until told to stop; the result is the exit status. Errors are one line."""
    try:
        return _run(arguments, environment)
    except StartError as error:
        print(f"savedmodel-server: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    settings = settings_module.read(arguments, environment, _schedulable_cpus())
    folder = find_model(settings.model_dir, settings.model_name)
    # Before the model is loaded: a port already taken is known at once.
    bound = bind(settings.host, settings.port)
    grpc = None
    if settings.grpc_port is not None:
        grpc = reserve(settings.host, settings.grpc_port)
    counts = Counts(settings.instance_count)  # before the fork, so that all share them
    plan = _Plan(settings, folder, base_url(bound), counts, grpc)
    started_s = time.monotonic()

    def announce() -> None:
        print(_ready_line(plan, time.monotonic() - started_s), file=sys.stderr, flush=True)

    if settings.instance_count > 1:

        def child(process: int, channel: socket.socket, ready: Announce) -> None:
            app, beside = _load(plan, process)
            ready()
            serve_passed(app, channel, beside)

        return supervise(settings.instance_count, bound, child, announce)
    app, beside = _load(plan)
    listen(bound)
    announce()
    serve(app, bound, beside)
    return 0


def _load(plan: _Plan, process: int = 0) -> tuple[App, GrpcServer | None]:
    """The application over a loaded model, warm, and what answers gRPC."""
    from savedmodel_server.app import App, Identity
    from savedmodel_server.batching import BatchedModel
    from savedmodel_server.inference_script import InferenceScript
    from savedmodel_server.model import load_model
    from savedmodel_server.signature import ServedModel
    from savedmodel_server.warm_up import warm_thread, warm_up
    from savedmodel_server.workers import Workers

    settings = plan.settings
    loaded = load_model(plan.folder, settings)
    for line in warm_up(loaded, settings.batching):
        print(f"savedmodel-server: {line}", file=sys.stderr, flush=True)
    model: ServedModel = loaded
    prepare: Callable[[], None] | None = lambda: warm_thread(loaded)  # noqa: E731
    count = settings.concurrency
    if settings.batching:
        model = BatchedModel(loaded, settings.batching, count, prepare)
        # Requests block while their batch runs and the next one fills.
        prepare, count = None, (count + 1) * settings.batching.max_batch_size
    workers = Workers(count, "predict", prepare)
    identity = Identity(process, plan.counts, _chosen(settings))
    if plan.folder.script is None:
        app = App(model, workers, identity=identity)
    else:
        script = InferenceScript(plan.folder.script, model, plan.url)
        app = App(model, workers, script.answer, Workers(count, "invoke", prepare), identity)
    beside = None
    if plan.grpc is not None:
        from savedmodel_server.grpc_listening import GrpcServer

        beside = GrpcServer(model, workers, identity, plan.grpc)
    # What is loaded stays: the collector need not walk it during requests.
    gc.collect()
    gc.freeze()
    return app, beside


def _chosen(settings: Settings) -> dict[str, object]:
    batching = settings.batching
    return {
        "instance_count": settings.instance_count,
        "concurrency": settings.concurrency,
        "intra_op_threads": settings.intra_op_threads,
        "inter_op_threads": settings.inter_op_threads,
        "max_batch_size": batching.max_batch_size if batching else None,
        "batch_timeout_us": round(batching.timeout_s * 1e6) if batching else None,
    }


def _ready_line(plan: _Plan, took_s: float) -> str:
    settings, folder = plan.settings, plan.folder
    batching = "off"
    if settings.batching:
        timeout_ms = settings.batching.timeout_s * 1000
        batching = f"up to {settings.batching.max_batch_size} within {timeout_ms:g} ms"
    grpc = f" and by gRPC on port {plan.grpc.getsockname()[1]}" if plan.grpc else ""
    return (
        f"savedmodel-server: {folder.name} version {folder.version} is served at {plan.url}{grpc} "
        f"(processes {settings.instance_count}, intra-op threads "
        f"{settings.intra_op_threads or 'auto'}, inter-op threads "
        f"{settings.inter_op_threads or 'auto'}, batching {batching}); "
        f"loaded and warm after {took_s:.1f} s"
    )


def _schedulable_cpus() -> int:
    """The CPUs of this process's affinity, which container CPU sets change; quotas do not."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

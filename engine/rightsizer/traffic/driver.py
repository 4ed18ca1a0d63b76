"""The engine's end of a generator process. Imports neither Locust nor gevent."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rightsizer.errors import EnvironmentFault, Reason, TrialFailed, UsageError
from rightsizer.hosts.base import Endpoint, Owner
from rightsizer.hosts.control import ProbeError, ProbeReply, send_probe
from rightsizer.protocols import Body, Request, error_text
from rightsizer.traffic.gathering import Gathering
from rightsizer.traffic.link import Link
from rightsizer.traffic.reach import reach_of
from rightsizer.traffic.records import Reach
from rightsizer.traffic.session import QUIT_S, LocustSession
from rightsizer.units import counted

GENERATOR = "generator"
SILENCE_S = 20.0
"""A generator that reports nothing for so long in a step is lost."""
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


class LocustTraffic:
    """Traffic from Locust processes that the trial's owner starts and ends."""

    def __init__(self, workers: int = 1) -> None:
        """`workers`: processes that share each step's traffic, one core each."""
        if workers < 1:
            raise ValueError(f"{workers} workers")
        self._workers = workers

    def probe(
        self, endpoint: Endpoint, request: Request, tick: Callable[[], None]
    ) -> dict[str, float]:
        """One request for each body over the control plane; see `traffic.base`."""
        latency_ms = {}
        for body in request.bodies:
            tick()
            latency_ms[body.name] = _probe(endpoint, request, body)
        return latency_ms

    def reach(self, endpoint: Endpoint, request: Request) -> Reach | None:
        """See `traffic.base`."""
        return reach_of(endpoint, request)

    @contextmanager
    def open(
        self,
        endpoint: Endpoint,
        request: Request,
        *,
        seed: int,
        trial_dir: Path,
        owner: Owner,
        cpus: Sequence[int],
    ) -> Iterator[LocustSession]:
        """Start the generator and wait until it is ready; see `traffic.base`."""
        spool = trial_dir / "bodies"
        gathering = Gathering(trial_dir / "samples-0.bin", self._workers)
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, spool, ignore_errors=True)
            stack.callback(gathering.clean)
            configs = _write_orders(spool, gathering.parts, endpoint, request, seed)
            links = [
                _start(stack, owner, number, config, trial_dir, own, gathering.parts[number])
                for number, (config, own) in enumerate(
                    zip(configs, _cpus_of(cpus, self._workers), strict=True)
                )
            ]
            session = LocustSession(links, gathering, request.timeout_s + SILENCE_S)
            session.wait_ready()
            yield session
            session.quit()


def require_cpus(workers: int, cpus: int) -> None:
    """Check that each worker has a CPU: two that share one drive no more than one would.

    Raises:
        UsageError: more workers than CPUs. None at all means that nothing is pinned here.
    """
    if 0 < cpus < workers:
        why = f"the generator may use {counted(cpus, 'CPU')}"
        todo = "lower --workers, or give the generator more CPUs (generator_cpus in a hosts file)"
        raise UsageError(f"{workers} workers need as many CPUs", why, todo)


def _start(
    stack: ExitStack,
    owner: Owner,
    number: int,
    config: Path,
    trial_dir: Path,
    cpus: Sequence[int],
    samples: Path,
) -> Link:
    """One generator process, which ends with the stack."""
    name = GENERATOR if number == 0 else f"{GENERATOR}-{number}"
    log = trial_dir / f"{name}.log"
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    stack.callback(owner.end, name, QUIT_S)
    stack.callback(os.close, up_read)
    stack.callback(os.close, down_write)
    try:
        owner.spawn(
            name,
            [sys.executable, "-m", "rightsizer.traffic.locustfile", str(config)],
            environment={key: os.environ[key] for key in PASSED_ON if key in os.environ},
            working_dir=trial_dir,
            cpus=cpus,
            log=log,
            stdin=down_read,
            stdout=up_write,
        )
    finally:
        os.close(down_read)
        os.close(up_write)
    return Link(down_write, up_read, samples, log, lambda: owner.exited(name))


def _cpus_of(cpus: Sequence[int], workers: int) -> list[Sequence[int]]:
    """Each process one CPU of its own where there are enough, else all the same ones."""
    if workers == 1 or len(cpus) < workers:
        return [cpus] * workers
    return [cpus[number::workers] for number in range(workers)]


def _probe(endpoint: Endpoint, request: Request, body: Body) -> float:
    """Latency in ms of one accepted reply; raises TrialFailed for any other."""
    refused = f"payload {body.name} was refused"
    try:
        reply, refusal, may_be_loading = _asked(endpoint, request, body)
    except ProbeError as error:
        failed = TrialFailed(Reason.PROBE_REFUSED, f"{refused}: {error}")
        failed.may_be_loading = True
        raise failed from None
    said = error_text(reply.body)
    if reply.location:
        said = f"a redirect to {error_text(reply.location.encode())}"
    if refusal:
        failed = TrialFailed(Reason.PROBE_REFUSED, f"{refused}: {refusal}, {said}")
        failed.may_be_loading = may_be_loading
        raise failed
    by_check = f"{refused} by the response check"
    if reply.size_bytes not in request.check.sizes:
        what = f"status {reply.status}, {reply.size_bytes} bytes"
        raise TrialFailed(Reason.PROBE_REFUSED, f"{by_check}: {what}, {said}")
    wanted = request.check.contains
    if wanted is not None and wanted.encode() not in reply.body:
        detail = f"{by_check}: the reply lacks {wanted!r}, it says {said}"
        raise TrialFailed(Reason.PROBE_REFUSED, detail)
    return reply.elapsed_s * 1000.0


def _asked(endpoint: Endpoint, request: Request, body: Body) -> tuple[ProbeReply, str | None, bool]:
    """(the reply, its status in words where that refuses, whether a server that still loads may
    answer so); raises ProbeError."""
    if request.grpc:
        from rightsizer.traffic import grpc_channel, grpc_probe  # h2 is an extra's

        reply = grpc_probe.send_grpc_probe(endpoint, request, body)
        refusal = None if reply.status == grpc_channel.OK else grpc_channel.name_of(reply.status)
        return reply, refusal, reply.status == grpc_channel.UNAVAILABLE
    reply = send_probe(
        endpoint.url,
        request.method,
        request.path,
        headers=request.headers,
        body=body.content,
        content_type=body.content_type,
        timeout_s=request.timeout_s,
        tls=endpoint.tls,
    )
    refusal = None if 200 <= reply.status < 300 else f"status {reply.status}"
    return reply, refusal, reply.status == 503


def _write_orders(
    spool: Path, parts: Sequence[Path], endpoint: Endpoint, request: Request, seed: int
) -> list[Path]:
    """A work order for each process, with the bodies as files beside them.

    Raises:
        EnvironmentFault: the disk does not take them.
    """
    try:
        spool.mkdir(parents=True, exist_ok=True)
        shared = _write_bodies(spool, endpoint, request, seed)
        paths = []
        for worker, samples in enumerate(parts):
            order = {**shared, "samples": str(samples), "worker": worker, "workers": len(parts)}
            paths.append(spool / f"generator-{worker}.json")
            paths[-1].write_text(json.dumps(order), "utf-8")
        return paths
    except OSError as error:
        why = error.strerror or str(error)
        raise EnvironmentFault(f"cannot write {spool}", why, "free space and resume") from None


def _write_bodies(spool: Path, endpoint: Endpoint, request: Request, seed: int) -> dict[str, Any]:
    """What all work orders share."""
    bodies = []
    for number, body in enumerate(request.bodies):
        path = spool / str(number)
        path.write_bytes(body.content)
        bodies.append({"path": str(path), "content_type": body.content_type, "weight": body.weight})
    return {
        "url": endpoint.url,
        "tls": None if endpoint.tls is None else asdict(endpoint.tls),
        "grpc": request.grpc,
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
        "timeout_s": request.timeout_s,
        "check": asdict(request.check),
        "seed": seed,
        "bodies": bodies,
    }

"""The engine's end of a generator process. Imports neither Locust nor gevent."""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rightsizer.errors import EnvironmentFault, Reason, TrialFailed, TrialInvalid
from rightsizer.hosts.base import Endpoint, Owner
from rightsizer.hosts.control import ProbeError, send_probe
from rightsizer.protocols import Body, Request, error_text
from rightsizer.schedule import Step
from rightsizer.traffic import wire
from rightsizer.traffic.base import Health, Progress, StepRecord

GENERATOR = "generator"
READY_S = 60.0
SILENCE_S = 20.0
"""A generator that reports nothing for so long in a step is lost."""
QUIT_S = 5.0
LAST_WORDS_S = 1.0
"""A pipe closes a moment before the word comes of how its process ended."""
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


class LocustTraffic:
    """Traffic from a Locust process that the trial's owner starts and ends."""

    def probe(
        self, endpoint: Endpoint, request: Request, tick: Callable[[], None]
    ) -> dict[str, float]:
        """One request for each body over the control plane; see `traffic.base`."""
        latency_ms = {}
        for body in request.bodies:
            tick()
            latency_ms[body.name] = _probe(endpoint, request, body)
        return latency_ms

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
        samples = trial_dir / "samples-0.bin"
        down_read, down_write = os.pipe()
        up_read, up_write = os.pipe()
        try:
            config = _write_config(spool, samples, endpoint, request, seed)
            owner.spawn(
                GENERATOR,
                [sys.executable, "-m", "rightsizer.traffic.locustfile", str(config)],
                environment={key: os.environ[key] for key in PASSED_ON if key in os.environ},
                working_dir=trial_dir,
                cpus=cpus,
                log=trial_dir / "generator.log",
                stdin=down_read,
                stdout=up_write,
            )
            os.close(down_read)
            os.close(up_write)
            down_read = up_write = -1
            timeout_s = request.timeout_s + SILENCE_S
            session = LocustSession(down_write, up_read, owner, samples, timeout_s)
            session.wait_ready()
            yield session
            session.quit()
        finally:
            for descriptor in (down_read, down_write, up_read, up_write):
                if descriptor >= 0:
                    os.close(descriptor)
            owner.end(GENERATOR, QUIT_S)
            shutil.rmtree(spool, ignore_errors=True)


class LocustSession:
    """See `traffic.base.Session`."""

    def __init__(self, down: int, up: int, owner: Owner, samples: Path, silence_s: float) -> None:
        self._down, self._up = down, up
        self._owner, self._samples = owner, samples
        self._silence_s = silence_s
        self._buffer = b""
        self._last: StepRecord | None = None

    @property
    def last(self) -> StepRecord:
        """What the step driven last left behind."""
        if self._last is None:
            raise RuntimeError("no step was driven yet")
        return self._last

    @property
    def sample_files(self) -> Sequence[Path]:
        """The one file of the one generator."""
        return [self._samples]

    def wait_ready(self) -> None:
        """Until the generator has loaded; raises TrialInvalid if it does not."""
        message = self._receive(READY_S)
        if message["kind"] != "ready":
            raise self._lost(str(message.get("why", message)))

    def drive(self, step: Step) -> Iterator[Progress]:
        """Run one step; yields progress until it has drained."""
        self._send("step", step=wire.step_dict(step))
        while True:
            message = self._receive(self._silence_s)
            kind = message.pop("kind")
            if kind == "progress":
                yield Progress(**message)
            elif kind == "step-end":
                journal = tuple((int(t), int(n)) for t, n in message.pop("journal"))
                health = Health(**message.pop("health"))
                self._last = StepRecord(step=step, journal=journal, health=health, **message)
                return
            else:
                raise self._failed(str(message.get("why", kind)))

    def stop_step(self) -> None:
        """Let no further request go."""
        self._send("stop-step")

    def abandon(self) -> None:
        """Do not even drain."""
        self._send("abandon")

    def quit(self) -> None:
        """Ask the generator to end, and give it a moment."""
        try:
            self._send("quit")
        except TrialInvalid:
            return
        self._wait_for_exit(QUIT_S)

    def _wait_for_exit(self, timeout_s: float) -> str | None:
        """How the generator ended; None if it has not within the time."""
        deadline_s = time.monotonic() + timeout_s
        while (ended := self._owner.exited(GENERATOR)) is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        return ended

    def _send(self, kind: str, **values: Any) -> None:
        try:
            os.write(self._down, wire.line(kind, **values))
        except OSError as error:
            raise self._lost(f"its pipe is closed ({error.strerror})") from None

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise self._lost(f"it said nothing for {timeout_s:.0f} s")
            if not select.select([self._up], [], [], left_s)[0]:
                continue
            chunk = os.read(self._up, 65536)
            if not chunk:
                raise self._lost("it ended in the middle of its work")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(text)
        return message

    def _failed(self, why: str) -> Exception:
        if "No space left" in why or "Errno 28" in why:
            return EnvironmentFault("the samples cannot be written", why, "free space and resume")
        return self._lost(why)

    def _lost(self, why: str) -> TrialInvalid:
        ended = self._wait_for_exit(LAST_WORDS_S)
        how = f" ({ended})" if ended else ""
        log = self._samples.with_name("generator.log")
        tail = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
        return TrialInvalid(Reason.GENERATOR_LOST, f"the generator was lost: {why}{how}", tail)


def _probe(endpoint: Endpoint, request: Request, body: Body) -> float:
    """Latency in ms of one accepted reply; raises TrialFailed for any other."""
    refused = f"payload {body.name} was refused"
    try:
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
    except ProbeError as error:
        failed = TrialFailed(Reason.PROBE_REFUSED, f"{refused}: {error}")
        failed.may_be_loading = True
        raise failed from None
    said = error_text(reply.body)
    if reply.location:
        said = f"a redirect to {error_text(reply.location.encode())}"
    if not 200 <= reply.status < 300:
        failed = TrialFailed(Reason.PROBE_REFUSED, f"{refused}: status {reply.status}, {said}")
        failed.may_be_loading = reply.status == 503
        raise failed
    if request.check.refuses(reply.size_bytes):
        detail = f"{refused} by the response check: status {reply.status}, {reply.size_bytes} bytes"
        raise TrialFailed(Reason.PROBE_REFUSED, f"{detail}, {said}")
    wanted = request.check.contains
    if wanted is not None and wanted.encode() not in reply.body:
        detail = f"{refused} by the response check: the reply lacks {wanted!r}, it says {said}"
        raise TrialFailed(Reason.PROBE_REFUSED, detail)
    return reply.elapsed_s * 1000.0


def _write_config(
    spool: Path, samples: Path, endpoint: Endpoint, request: Request, seed: int
) -> Path:
    """The generator's work order, with the bodies as files beside it.

    Raises:
        EnvironmentFault: the disk does not take them.
    """
    try:
        return _write_order(spool, samples, endpoint, request, seed)
    except OSError as error:
        why = error.strerror or str(error)
        raise EnvironmentFault(f"cannot write {spool}", why, "free space and resume") from None


def _write_order(
    spool: Path, samples: Path, endpoint: Endpoint, request: Request, seed: int
) -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    bodies = []
    for number, body in enumerate(request.bodies):
        path = spool / str(number)
        path.write_bytes(body.content)
        bodies.append({"path": str(path), "content_type": body.content_type, "weight": body.weight})
    config = {
        "url": endpoint.url,
        "tls": None if endpoint.tls is None else asdict(endpoint.tls),
        "method": request.method,
        "path": request.path,
        "headers": dict(request.headers),
        "timeout_s": request.timeout_s,
        "check": asdict(request.check),
        "seed": seed,
        "bodies": bodies,
        "samples": str(samples),
    }
    path = spool / "generator.json"
    path.write_text(json.dumps(config), "utf-8")
    return path

"""The queue of the API's jobs: a worker process a job, one at a time, for they share the CPUs."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rightsizer.api.settings import Settings
from rightsizer.api.worker import ORDERS, Orders
from rightsizer.errors import RightsizerError
from rightsizer.hosts.lease import leased_cpus
from rightsizer.job_heads import JobHead, heads
from rightsizer.store import Store

LOOK_EVERY_S = 1.0
END_S = 30.0
"""What a worker has to end its trial in."""
MOST_STARTS = 2
"""Of a worker for one job: one that dies is started again once."""
LOG_FILE = "worker.log"
LOG_TAIL_BYTES = 2000

log = logging.getLogger("rightsizer.api")


class Supervisor:
    """A thread that takes up queued jobs, and those that an earlier server left."""

    def __init__(
        self,
        store_dir: Path,
        settings: Settings,
        cpus: Sequence[int] | None,
        environment: Mapping[str, str],
    ) -> None:
        """`cpus`: those that workers may use, None where there are no CPU sets; `environment`: a
        worker's."""
        self._store_dir, self._settings = store_dir, settings
        self._environment = dict(environment)
        self._cpus = None if cpus is None else tuple(cpus)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._starts: Counter[str] = Counter()
        self._worker: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._loop, name="supervisor")

    def start(self) -> None:
        """Begin; jobs run from now on."""
        self._thread.start()

    def wake(self) -> None:
        """Look now: there is something new."""
        self._wake.set()

    def close(self) -> None:
        """End what runs, within half a minute, and leave it to the next server."""
        self._closing.set()
        self._wake.set()
        worker = self._worker
        if worker is not None:
            _let_go(worker)
        self._thread.join(END_S)
        if self._worker is not None:
            self._worker.kill()
            self._thread.join()

    def _loop(self) -> None:
        with Store(self._store_dir) as store:
            while not self._closing.is_set():
                self._wake.clear()
                try:
                    self._look(store)
                except RightsizerError as error:  # a full disk may be emptied
                    log.error("the queue cannot go on: %s", error)
                self._wake.wait(LOOK_EVERY_S)

    def _look(self, store: Store) -> None:
        """Run what is queued until nothing is, or the CPUs are another job's."""
        _stop_waiting(store)
        while (queue := _queued(store)) and not self._closing.is_set():
            if leased_cpus():
                return
            self._run(store, queue[0])

    def _run(self, store: Store, head: JobHead) -> None:
        folder = store.job_dir(head.id)
        self._starts[head.id] += 1
        with (folder / LOG_FILE).open("ab") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "rightsizer.api.worker"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=self._environment,
                start_new_session=True,
            )
        assert worker.stdin is not None
        self._worker = worker
        orders = Orders(str(self._store_dir), head.id, self._settings, self._cpus)
        with suppress(BrokenPipeError):
            worker.stdin.write(ORDERS.dump_json(orders) + b"\n")
            worker.stdin.flush()
        if self._closing.is_set():
            _let_go(worker)
        while worker.poll() is None:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            _stop_waiting(store)
        self._worker = None
        with suppress(OSError):
            worker.stdin.close()
        if not self._closing.is_set():
            self._judge(store, head, worker.returncode)

    def _judge(self, store: Store, head: JobHead, code: int) -> None:
        """A worker that died is replaced once; then its job has failed."""
        stored = store.job(head.id)
        if stored.status not in ("pending", "running", "stopping"):
            return
        if self._starts[head.id] < MOST_STARTS:
            log.warning("the worker of %s died (%s): it is started again", head.id, code)
            return
        said = _tail(store.job_dir(head.id) / LOG_FILE)
        why = f"its worker process died twice, the last time with {code}"
        store.set_status(head.id, "failed", cut_short=f"{why}; it said: {said}" if said else why)


def _queued(store: Store) -> list[JobHead]:
    """The API's jobs that nobody runs, the oldest first."""
    return [
        head
        for head in heads(store)
        if head.is_of_api
        and head.status in ("pending", "running", "stopping")
        and not store.is_owned(head.id)
    ]


def _stop_waiting(store: Store) -> None:
    """End those that are to stop before they were started."""
    for head in _queued(store):
        if head.stop_requested:
            store.set_status(head.id, "stopped", cut_short="the job was stopped")


def _let_go(worker: subprocess.Popen[bytes]) -> None:
    """Have a worker end its trial and give the job back."""
    with suppress(OSError):
        worker.terminate()


def _tail(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").splitlines()
        return " | ".join(line.strip() for line in lines[-3:])
    return ""

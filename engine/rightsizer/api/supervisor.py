"""The queue of the API's jobs: a worker process a job, one at a time, for they share the CPUs."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rightsizer.api.settings import Settings
from rightsizer.api.worker import ORDERS, Orders
from rightsizer.errors import RightsizerError, StoreError
from rightsizer.events import JobWaits
from rightsizer.hosts.lease import leased_accelerators, leased_cpus
from rightsizer.housekeeping import BY_USER, end_waiting
from rightsizer.job_heads import unfinished_of_api
from rightsizer.store import UNFINISHED, Store

LOOK_EVERY_S = 1.0
END_S = 30.0
"""What a worker has to end its trial in."""
MOST_DEATHS = 2
"""Of workers for one job: the first that dies is replaced."""
LOG_FILE = "worker.log"
LOG_TAIL_BYTES = 2000
LOG_LINES = 3

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
        self._deaths: defaultdict[str, list[str]] = defaultdict(list)
        self._waits_told = ""
        """The job that was told what it waits for."""
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
        if worker := self._worker:
            worker.terminate()
        self._thread.join(END_S)
        if worker := self._worker:
            worker.kill()  # its guardian ends what it has started
        self._thread.join()

    def _loop(self) -> None:
        with Store(self._store_dir) as store:
            while not self._closing.is_set():
                self._wake.clear()
                with _told():
                    self._look(store)
                self._wake.wait(LOOK_EVERY_S)

    def _look(self, store: Store) -> None:
        """Run what is queued until nothing is, or the first of it cannot be run now."""
        while not self._closing.is_set():
            _end_stopped(store)
            job_id = _first(store)
            waits = None if job_id is None else self._waits()
            if job_id is None or waits is not None:
                self._say_waits(store, job_id, waits)
                return
            self._waits_told = ""
            deaths = self._deaths[job_id]
            died = self._run(store, job_id) if len(deaths) < MOST_DEATHS else ""
            if self._closing.is_set():
                return
            if died:
                log.warning("the worker of %s died: %s", job_id, died)
                deaths.append(died)
            if len(deaths) == MOST_DEATHS:
                end_waiting(store, job_id, "failed", _obituary(store.job_dir(job_id), deaths[-1]))
            stored = store.job(job_id)
            if stored.status in UNFINISHED and not stored.stop_requested:
                return

    def _waits(self) -> JobWaits | None:
        """What a job of the command line holds of what a worker would need."""
        held = leased_cpus()
        owners = [who for cpu, who in held.items() if self._cpus is None or cpu in self._cpus]
        for what, whose in (("CPUs", owners), ("accelerators", [*leased_accelerators().values()])):
            if whose:
                return JobWaits(what, ", ".join(dict.fromkeys(whose)))
        return None

    def _say_waits(self, store: Store, job_id: str | None, waits: JobWaits | None) -> None:
        """Tell the first of the queue, once until the machine is free again."""
        if job_id is None or waits is None:
            self._waits_told = ""
        elif self._waits_told != job_id:
            with store.own(job_id):  # whoever ends it has its last word
                if store.job(job_id).status in UNFINISHED:
                    store.add_event(job_id, type(waits).__name__, asdict(waits))
            self._waits_told = job_id

    def _run(self, store: Store, job_id: str) -> str:
        """Run a job's worker to its end; how it died, empty where it did not."""
        try:
            worker = self._started(store.job_dir(job_id))
        except OSError as error:
            return f"it cannot be started: {error}"
        self._worker = worker
        assert worker.stdin is not None
        orders = Orders(str(self._store_dir), job_id, self._settings, self._cpus)
        with suppress(OSError):
            worker.stdin.write(ORDERS.dump_json(orders) + b"\n")
            worker.stdin.flush()
        if self._closing.is_set():
            worker.terminate()
        is_unwanted = False
        while worker.poll() is None:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            with _told():
                _end_stopped(store, but=job_id)
                stored = store.job(job_id)
                if stored.stop_requested and stored.status == "pending":
                    is_unwanted = True
                    worker.terminate()  # it still brings the inputs in
        self._worker = None
        with suppress(OSError):
            worker.stdin.close()
        return "" if is_unwanted else _death(worker.returncode)

    def _started(self, folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)  # somebody may have removed it
        with (folder / LOG_FILE).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "rightsizer.api.worker"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=self._environment,
                start_new_session=True,
            )


@contextmanager
def _told() -> Iterator[None]:
    """The queue goes on: a full disk may be emptied, a locked database freed."""
    try:
        yield
    except RightsizerError as error:
        log.error("the queue cannot go on: %s", error)
    except Exception:
        log.exception("a bug of ours in the queue")


def _first(store: Store) -> str | None:
    """The oldest of the API's jobs that is to be run and that nobody runs."""
    for head in unfinished_of_api(store):
        if not head.stop_requested and not store.is_owned(head.id):
            return head.id
    return None


def _end_stopped(store: Store, but: str = "") -> None:
    """End those that were to stop before their turn came, all but the one whose it is."""
    for head in unfinished_of_api(store):
        if head.stop_requested and head.id != but:
            with suppress(StoreError):  # somebody runs it, and sees the request
                end_waiting(store, head.id, "stopped", BY_USER)


def _death(code: int) -> str:
    """What became of a process with that exit code; empty where it ended as it should."""
    if code >= 0:
        return f"exit code {code}" if code else ""
    if -code == signal.SIGKILL:
        return "killed by SIGKILL, as when the system is short of memory"
    return f"killed by signal {-code}"


def _obituary(folder: Path, died: str) -> str:
    said = _tail(folder / LOG_FILE)
    why = f"its worker process died {MOST_DEATHS} times, the last time: {died}"
    return f"{why}; it said: {said}" if said else why


def _tail(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_LINES:])
    return ""

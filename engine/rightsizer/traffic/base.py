"""The seam to the load generator.

    with traffic.open(endpoint, request, seed, trial_dir, owner, cpus) as session:
        for progress in session.drive(step): ...
        session.last    # what the step left behind

Nothing an attempt leaves is lost: every request that was sent is in the samples when `drive` ends,
answered, failed, timed out, or marked unfinished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rightsizer.hosts.base import Endpoint, Owner
from rightsizer.protocols import Request
from rightsizer.schedule import Step


@dataclass(frozen=True)
class Progress:
    """A look at a running step, about once a second. Latency from the last seconds' samples."""

    elapsed_s: float
    users: int
    """Closed: users at work. Open: requests in flight."""
    attempted: int
    succeeded: int
    errors: int
    per_s: float
    """Invocations per second over the last seconds."""
    p95_ms: float | None


@dataclass(frozen=True)
class StepRecord:
    """What a driven step left behind. Times are ns of the generator's monotonic clock."""

    step: Step
    begin_ns: int
    end_ns: int
    """When the last request was let go; what was then in flight was drained."""
    drained_ns: int
    committed: int
    """Samples in the files once the step was drained, this step's included."""
    complete: bool
    """False when the step was cut short."""
    journal: tuple[tuple[int, int], ...]
    """(ns, users) of each actual change of the number of users."""
    generator_cpu_ratio: float
    """CPU time of the generator over the step's length: 1 is one whole core."""
    content_checked: int = 0
    content_refused: int = 0
    """Replies whose content was looked at, and those that lacked what it must contain."""


class Session(Protocol):
    """An open generator."""

    def drive(self, step: Step) -> Iterator[Progress]:
        """Run one step to its end; the generator yields progress and ends when it is drained.

        Raises:
            TrialInvalid: the generator was lost.
        """

    @property
    def last(self) -> StepRecord:
        """What the step driven last left behind."""

    def stop_step(self) -> None:
        """Let no further request go; the running `drive` ends once drained."""

    def abandon(self) -> None:
        """Do not even drain: what is in flight is recorded as unfinished."""

    @property
    def sample_files(self) -> Sequence[Path]:
        """Where the samples are; complete up to `last.committed` records."""


class Traffic(Protocol):
    """A kind of generator."""

    def probe(
        self, endpoint: Endpoint, request: Request, tick: Callable[[], None]
    ) -> Mapping[str, float]:
        """Send one request for each body, before any traffic; latency in ms by body name.

        `tick` is called between requests; what it raises ends the probing.

        Raises:
            TrialFailed: one is refused; with status, first bytes of the answer.
        """

    def open(
        self,
        endpoint: Endpoint,
        request: Request,
        *,
        seed: int,
        trial_dir: Path,
        owner: Owner,
        cpus: Sequence[int],
    ) -> AbstractContextManager[Session]:
        """Start a generator aimed at the endpoint; it ends with the context."""

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
from pathlib import Path
from typing import Protocol

from rightsizer.hosts.base import Endpoint, Owner
from rightsizer.protocols import Request
from rightsizer.schedule import Step
from rightsizer.traffic.records import Progress, Reach, StepRecord


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

    def reach(self, endpoint: Endpoint, request: Request) -> Reach | None:
        """What the network to the endpoint adds to each request; None where it cannot be told."""

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

"""One open generator, of one process or several, and the steps that it drives."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rightsizer.errors import Reason, TrialInvalid
from rightsizer.schedule import Step
from rightsizer.traffic import wire
from rightsizer.traffic.gathering import Gathering
from rightsizer.traffic.link import Link, LinkLost
from rightsizer.traffic.merging import merged_progress, merged_record
from rightsizer.traffic.records import Progress, StepRecord

READY_S = 60.0
QUIT_S = 5.0
LEAD_NS = 2_000_000
"""From the word that a step begins to its beginning: it reaches all processes in time."""

Report = dict[str, Any]


class LocustSession:
    """See `traffic.base.Session`."""

    def __init__(self, links: Sequence[Link], gathering: Gathering, silence_s: float) -> None:
        """`silence_s`: a process that reports nothing for so long in a step is lost."""
        self._links = list(links)
        self._gathering = gathering
        self._silence_s = silence_s
        self._lost: list[str] = []
        self._last: StepRecord | None = None

    @property
    def last(self) -> StepRecord:
        """What the step driven last left behind."""
        if self._last is None:
            raise RuntimeError("no step was driven yet")
        return self._last

    @property
    def sample_files(self) -> Sequence[Path]:
        """The one file in which the samples of all processes are gathered."""
        return [self._gathering.whole]

    def wait_ready(self) -> None:
        """Until every process has loaded; raises TrialInvalid if one does not."""
        self._await("ready", READY_S)

    def drive(self, step: Step) -> Iterator[Progress]:
        """Run one step; yields progress until it has drained.

        One process lost among several ends the step, whose health tells; the next step is refused.
        """
        if self._lost:
            raise TrialInvalid(Reason.GENERATOR_LOST, f"the generator was lost: {self._lost[0]}")
        self._tell("step", step=wire.step_dict(step))
        self._await("armed", self._silence_s)
        self._tell("go", begin_ns=time.monotonic_ns() + LEAD_NS)
        latest: dict[int, Report] = {}
        ends: dict[int, Report] = {}
        while len(ends) < len(self._links) - len(self._lost):
            for number, message in self._receive(self._silence_s, but=ends):
                kind = message.pop("kind")
                if kind == "progress":
                    self._gathering.take(number, message.pop("committed"))
                    latest[number] = message
                elif kind == "step-end":
                    self._gathering.take(number, message.pop("committed"))
                    ends[number] = message
                elif kind == "lost":
                    latest.pop(number, None)
                    self._carry_on_without(number, message["why"])
                else:
                    raise self._links[number].failure(str(message.get("why", kind)))
                if kind == "progress" and number == self._leader:
                    yield merged_progress(list(latest.values()), self._gathering.committed)
                    self._all_heard()
        lost = len(self._lost)
        self._last = merged_record(step, list(ends.values()), self._gathering.committed, lost)

    def stop_step(self) -> None:
        """Let no further request go."""
        self._tell("stop-step")

    def abandon(self) -> None:
        """Do not even drain."""
        self._tell("abandon")

    def quit(self) -> None:
        """Ask the processes to end, and give them a moment."""
        for link in self._links:
            with contextlib.suppress(LinkLost):
                link.send("quit")
        for link in self._links:
            link.wait_for_exit(QUIT_S)

    def _tell(self, kind: str, **values: Any) -> None:
        for link in self._links:
            try:
                link.send(kind, **values)
            except LinkLost as error:
                # Of several, the others go on; that this one is gone is met when it is listened to.
                if len(self._links) == 1:
                    raise link.failure(str(error)) from None

    def _await(self, kind: str, timeout_s: float) -> None:
        """Until each process has said so; raises TrialInvalid for one that says other things."""
        self._all_heard()
        said: set[int] = set()
        while len(said) < len(self._links):
            for number, message in self._receive(timeout_s, but=said):
                if message["kind"] != kind:
                    raise self._links[number].failure(str(message.get("why", message["kind"])))
                said.add(number)

    @property
    def _leader(self) -> int:
        """The first process still there: at its pace the step is looked at."""
        return next(number for number, link in enumerate(self._links) if link.up >= 0)

    def _all_heard(self) -> None:
        """Nobody is silent while nobody listens."""
        for link in self._links:
            link.heard_s = time.monotonic()

    def _receive(
        self, timeout_s: float, but: dict[int, Report] | set[int]
    ) -> list[tuple[int, Report]]:
        """What came next from whom; kind `lost` where one is gone. `but` are not waited for."""
        waited = {
            link.up: number
            for number, link in enumerate(self._links)
            if number not in but and link.up >= 0
        }
        quiet_s = min(self._links[number].heard_s for number in waited.values())
        left_s = max(0.0, quiet_s + timeout_s - time.monotonic())
        readable = select.select(list(waited), [], [], left_s)[0]
        found: list[tuple[int, Report]] = []
        for descriptor in readable:
            number = waited[descriptor]
            try:
                found += [(number, message) for message in self._links[number].read()]
            except LinkLost as error:
                found.append((number, {"kind": "lost", "why": str(error)}))
        if not readable:
            number = min(waited.values(), key=lambda number: self._links[number].heard_s)
            found.append(
                (number, {"kind": "lost", "why": f"it said nothing for {timeout_s:.0f} s"})
            )
        return found

    def _carry_on_without(self, number: int, why: str) -> None:
        """End the step of the others, where there are any; raises TrialInvalid where not."""
        self._lost.append(why)
        if len(self._lost) == len(self._links):
            raise self._links[number].failure(why)
        self._links[number].up = -1
        self._tell("stop-step")

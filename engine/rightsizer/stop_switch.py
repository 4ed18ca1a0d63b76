"""The wish to end a run: from the user, from another process through the store, from the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from rightsizer.errors import Reason

ASK_EVERY_S = 1.0


class StopSwitch:
    """The user's and the clock's wish to end a run; see `runner.Control`."""

    def __init__(self) -> None:
        self._level = 0
        self._deadline_s: float | None = None
        self._requested: Callable[[], bool] = lambda: False
        self._asked_s = 0.0
        self._is_left = False

    def press(self) -> int:
        """Once: end the step and save. Twice: do not even drain. Returns how often so far."""
        self._level += 1
        return self._level

    def hand_over(self) -> None:
        """Do not even drain: another process is to go on with the job."""
        self._level, self._is_left = max(self._level, 2), True

    def watch(self, deadline_s: float, requested: Callable[[], bool]) -> None:
        """End at a moment of the monotonic clock too, and when the store says so."""
        self._deadline_s, self._requested = deadline_s, requested

    def level(self) -> int:
        """See `runner.Control`."""
        if self._level == 0 and self.out_of_time:
            return 1
        if self._level == 0 and time.monotonic() - self._asked_s > ASK_EVERY_S:
            self._asked_s = time.monotonic()
            self._level = int(self._requested())
        return self._level

    def reason(self) -> Reason:
        """See `runner.Control`."""
        return Reason.BY_USER if self._level else Reason.TIME_LIMIT

    @property
    def pressed(self) -> bool:
        """Whether somebody asked for it, and not the clock."""
        return self._level > 0

    @property
    def handed_over(self) -> bool:
        """Whether the job is to go on in another process: not where its user stopped it too."""
        return self._is_left and not self._requested()

    @property
    def out_of_time(self) -> bool:
        """Whether the job's duration is used up."""
        return self._deadline_s is not None and time.monotonic() >= self._deadline_s

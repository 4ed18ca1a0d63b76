"""What ends a step, and with it the trial, before its plan: a server that crashed or hangs."""

from __future__ import annotations

import numpy as np

from rightsizer.errors import Reason, TrialEnded, TrialFailed, TrialInterrupted
from rightsizer.hosts.base import Server
from rightsizer.samples import Outcome, Samples
from rightsizer.traffic.records import Progress

HUNG_TIMEOUTS = 2
"""A server that answers nothing for so many request timeouts has hung."""


class Watch:
    """Notices a server from which nothing comes any more, not even errors."""

    def __init__(self, timeout_s: float) -> None:
        self._patience_s = HUNG_TIMEOUTS * timeout_s + 1.0
        self._answered = 0
        self._since_s = 0.0

    def hung(self, progress: Progress) -> TrialFailed | None:
        """The trial's end, when nothing was answered for too long."""
        # Time-outs are counted as errors: where all are errors, `trial_run` tells which.
        answered = progress.succeeded
        if answered != self._answered or progress.attempted == 0:
            self._answered, self._since_s = answered, progress.elapsed_s
        silent_s = progress.elapsed_s - self._since_s
        if silent_s <= self._patience_s:
            return None
        return TrialFailed(Reason.HUNG, f"no invocation succeeded for {silent_s:.0f} s")


def crash_of(server: Server) -> TrialEnded | None:
    """How the server ended, when it has; None while it runs."""
    try:
        server.check()
    except (TrialFailed, TrialInterrupted) as error:
        return error
    return None


def since_the_last_answer(samples: Samples) -> Samples:
    """What ended after the step's last invocation, if anything timed out there; else nothing.

    Users in a loop wait for a server that has died: it costs them a time-out or two, no more.
    """
    succeeded = samples["outcome"] == Outcome.SUCCEEDED
    after: Samples = samples[samples["end_ns"] > samples["end_ns"][succeeded].max(initial=0)]
    waited = np.isin(after["outcome"], (Outcome.TIMED_OUT, Outcome.UNFINISHED))
    whole = not succeeded.any() or bool(waited.any())
    return after if whole else np.empty(0, dtype=samples.dtype)

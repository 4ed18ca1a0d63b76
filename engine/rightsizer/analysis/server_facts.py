"""What happened to the server in a step, from samples and usage: doubts on it alone.

Pure functions, one for each check. Instants in ns, arrays of shape (n,).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rightsizer.analysis.figures import Basis, Doubt
from rightsizer.analysis.windows import Window, starts_ns
from rightsizer.hosts.records import Usage
from rightsizer.samples import Outcome, Samples
from rightsizer.traffic.records import Health
from rightsizer.units import NS_PER_S, counted, percent, significant

BEHIND_RATIO = 0.05
"""Unanswered share of the arrivals, in both halves of a window: a pause is made up for in one."""
BEHIND_DEVIATES = 3.0
"""And more than arrivals vary by chance: the backlog of a busy queue does as well."""
OUTAGE_FAILURES = 3
"""So many failed connections in a row, nothing else between, are an outage."""
STRAY_RATIO = 0.2
"""Of the failed connections, those outside outages: an overrun server refuses here and there."""
OVERTAKEN_TIMES = 20
"""Requests that began later and were answered sooner: no queue treats one of its own so."""
THROTTLED_RATIO = 0.01

_BROKEN = (Outcome.CONNECT, Outcome.RESET)
_UNANSWERED = (Outcome.TIMED_OUT, Outcome.UNFINISHED)


def backlog_doubts(samples: Samples, window: Window) -> list[Doubt]:
    """Open: arrivals against completions in each half of the window.

    A server that falls behind in both has no steady state at this rate.
    """
    middle_ns = (window.begin_ns + window.end_ns) // 2
    edges = np.array([window.begin_ns, middle_ns, window.end_ns])
    arrived = np.diff(np.searchsorted(np.sort(samples["intended_ns"]), edges))
    answered = np.diff(np.searchsorted(np.sort(samples["end_ns"]), edges))
    growth = arrived - answered
    allowed = np.maximum(BEHIND_RATIO * arrived, BEHIND_DEVIATES * np.sqrt(arrived))
    if not np.all(arrived) or np.any(growth <= allowed):
        return []
    ratio = float(answered.sum() / arrived.sum())
    message = f"the server answered {percent(ratio)} of what was asked: {growth.sum()} more waited"
    figures = {"achieved_ratio": ratio, "allowed": 1 - BEHIND_RATIO, "growth": float(growth.sum())}
    return [Doubt("not-keeping-up", "weakens", message, "lower the rate", figures)]


def away_doubts(samples: Samples, mode: Basis, health: Health) -> list[Doubt]:
    """Whether the server was away for a while: before and after it is not one server.

    Either connections fail several times in a row, in a step that has answers as well; or requests
    break off and as many connections are opened again as there are, which is a quick restart.
    """
    if not np.isin(samples["outcome"], _BROKEN).any():
        return []
    ordered = samples[np.argsort(starts_ns(samples, mode), kind="stable")]
    broken = np.isin(ordered["outcome"], _BROKEN)
    good = np.flatnonzero(ordered["outcome"] == Outcome.SUCCEEDED)
    if not len(good):
        return []
    longest, stray = _runs(np.flatnonzero(broken))
    outage = longest >= OUTAGE_FAILURES and stray <= STRAY_RATIO * np.count_nonzero(broken)
    again = health.reopened >= health.connections > 1
    if not outage and not again:
        return []
    first, last = ordered[broken]["start_ns"].min(), ordered[broken]["end_ns"].max()
    away_s = float(last - first) / NS_PER_S
    back = "and came back" if good[-1] > np.flatnonzero(broken)[-1] else "until the step's end"
    message = f"the server was away for about {significant(away_s)} s {back}"
    figures = {
        "value": float(np.count_nonzero(broken)),
        "allowed": float(OUTAGE_FAILURES - 1),
        "away_s": away_s,
        "reopened": float(health.reopened),
        "connections": float(health.connections),
    }
    next_step = "see the server's log for why it restarted, then measure again"
    return [Doubt("server-away", "blocks", message, next_step, figures)]


def _runs(indices: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[int, int]:
    """(length of the longest run of neighbours, members of runs shorter than an outage)."""
    if not len(indices):
        return 0, 0
    lengths = np.diff(np.flatnonzero(np.diff(indices, prepend=-2, append=-2) != 1))
    return int(lengths.max()), int(lengths[lengths < OUTAGE_FAILURES].sum())


def starved_doubts(samples: Samples) -> list[Doubt]:
    """Connections that were never answered while others were, again and again.

    A server that gives each connection a worker of its own, and has fewer workers than there are
    connections, does that; a queue, however long, does not. How many requests a server works on
    at once cannot be told from outside, only this can.
    """
    waited = samples[np.isin(samples["outcome"], _UNANSWERED)]
    if not len(waited):
        return []
    users = np.unique(samples["user"][samples["outcome"] != Outcome.DROPPED])
    good = samples[samples["outcome"] == Outcome.SUCCEEDED]
    waited = waited[~np.isin(waited["user"], good["user"])]
    begun = len(good) - np.searchsorted(np.sort(good["start_ns"]), waited["start_ns"], "right")
    after = len(good) - np.searchsorted(np.sort(good["end_ns"]), waited["end_ns"], "right")
    starved = np.unique(waited["user"][begun - after >= OVERTAKEN_TIMES])
    if not len(starved):
        return []
    served = len(users) - len(starved)
    message = (
        f"{len(starved)} of {counted(len(users), 'connection')} never got an answer while the "
        f"others did: the server serves {served} at once, and each as long as it stays open"
    )
    figures = {"value": float(len(starved)), "allowed": 0.0, "connections": float(len(users))}
    next_step = "give the server more workers than connections, or an event loop"
    return [Doubt("connections-starved", "weakens", message, next_step, figures)]


def throttled_doubts(usage: Sequence[Usage], windows: Sequence[Window]) -> list[Doubt]:
    """How long a CPU quota held the server up, where its host tells."""
    readings = [(reading.t_ns, reading.throttled_s) for reading in usage]
    known = [(t_ns, value) for t_ns, value in readings if value is not None]
    length_s = sum(window.length_s for window in windows)
    if len(known) < 2 or length_s <= 0:
        return []
    at, total = np.array(known, dtype=np.float64).T
    edges = [(window.begin_ns, window.end_ns) for window in windows]
    ratio = float(np.diff(np.interp(np.array(edges), at, total)).sum()) / length_s
    if ratio <= THROTTLED_RATIO:
        return []
    message = f"the server's CPU quota held it up {percent(ratio)} of the time"
    next_step = "size it by whole CPUs (a CPU set): a quota makes latencies jump"
    figures = {"value": ratio, "allowed": THROTTLED_RATIO}
    return [Doubt("server-throttled", "weakens", message, next_step, figures)]

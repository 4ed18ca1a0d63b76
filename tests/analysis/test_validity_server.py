"""What happened to the server in a step: each event planted, and what looks like it beside it."""

from __future__ import annotations

import numpy as np
import pytest
from rightsizer.analysis.server_facts import (
    away_doubts,
    backlog_doubts,
    starved_doubts,
    throttled_doubts,
)
from rightsizer.analysis.windows import Window
from rightsizer.hosts.records import Usage
from rightsizer.samples import DTYPE, Outcome
from rightsizer.traffic.records import Health

MS = 1_000_000
S = 1_000 * MS


def requests(count: int = 4000, each_ms: float = 5.0) -> np.ndarray:
    """One request a ms."""
    samples = np.zeros(count, dtype=DTYPE)
    samples["intended_ns"] = samples["start_ns"] = np.arange(count) * MS
    samples["end_ns"] = samples["start_ns"] + int(each_ms * MS)
    return samples


def test_a_server_that_answers_what_it_is_asked_keeps_up():
    assert backlog_doubts(requests(), Window(0, 4 * S)) == []


def test_a_server_that_falls_ever_more_behind_does_not():
    samples = requests()
    samples["end_ns"] = samples["start_ns"] * 1.25
    [doubt] = backlog_doubts(samples, Window(0, 4 * S))
    assert (doubt.code, doubt.severity) == ("not-keeping-up", "weakens")
    assert doubt.figures["achieved_ratio"] == pytest.approx(0.8, abs=0.01)


def test_a_pause_that_is_made_up_for_is_no_falling_behind():
    samples = requests()
    paused = (samples["start_ns"] > 3 * S) & (samples["start_ns"] < 3.5 * S)
    samples["end_ns"][paused] = 3.6 * S
    assert backlog_doubts(samples, Window(0, 4 * S)) == []


def test_connections_refused_for_a_while_with_answers_before_and_after_are_a_restart():
    samples = requests()
    samples["outcome"][1000:1200] = Outcome.CONNECT
    [doubt] = away_doubts(samples, "open", Health())
    assert (doubt.code, doubt.severity) == ("server-away", "blocks")
    assert doubt.figures["away_s"] == pytest.approx(0.2, rel=0.1)


def test_a_server_that_refuses_here_and_there_is_overrun_not_restarted():
    samples = requests()
    refused = np.random.default_rng(1).random(4000) < 0.3
    samples["outcome"][refused] = Outcome.CONNECT
    assert away_doubts(samples, "open", Health(connections=8, reopened=3)) == []


def test_a_server_that_does_not_come_back_in_the_step_was_away_too():
    samples = requests()
    samples["outcome"][3000:] = Outcome.CONNECT
    [doubt] = away_doubts(samples, "open", Health())
    assert "until the step's end" in doubt.message


def test_a_server_that_never_answers_is_told_by_its_errors_alone():
    samples = requests()
    samples["outcome"] = Outcome.CONNECT
    assert away_doubts(samples, "open", Health()) == []


def test_every_connection_opened_again_while_a_request_broke_off_is_a_restart():
    samples = requests()
    samples["outcome"][1000] = Outcome.RESET
    [doubt] = away_doubts(samples, "open", Health(connections=8, reopened=8))
    assert doubt.code == "server-away"


def test_connections_that_the_server_closes_when_idle_are_no_restart():
    assert away_doubts(requests(), "open", Health(connections=8, reopened=80)) == []


def loop(users: int, starved: int, timeout_s: float = 2.0) -> np.ndarray:
    """Closed users for four seconds, of whom so many are never answered."""
    samples = requests(4000)
    samples["user"] = np.arange(4000) % (users - starved)
    waiting = np.zeros(starved, dtype=DTYPE)
    waiting["user"] = np.arange(users - starved, users)
    waiting["end_ns"] = int(timeout_s * S)
    waiting["outcome"] = Outcome.TIMED_OUT
    return np.concatenate([samples, waiting])


def test_connections_without_a_worker_are_counted():
    [doubt] = starved_doubts(loop(8, 3))
    assert (doubt.code, doubt.severity) == ("connections-starved", "weakens")
    assert (doubt.figures["value"], doubt.figures["connections"]) == (3.0, 8.0)


def test_users_that_are_all_answered_are_not_starved():
    assert starved_doubts(loop(8, 0)) == []


def test_an_overload_that_times_out_in_its_order_starves_nobody():
    samples = requests(4000, 1000.0)
    samples["user"] = np.arange(4000) % 1000
    late = samples["start_ns"] > 3 * S
    samples["outcome"][late] = Outcome.TIMED_OUT
    samples["user"][late] += 1000
    assert starved_doubts(samples) == []


def usage(throttled_s: list[float | None]) -> list[Usage]:
    return [Usage(i * S, 0.0, 0, total) for i, total in enumerate(throttled_s)]


def test_a_quota_that_holds_the_server_up_is_told():
    [doubt] = throttled_doubts(usage([0.0, 0.0, 0.3, 0.6]), [Window(S, 3 * S)])
    assert (doubt.code, doubt.severity) == ("server-throttled", "weakens")
    assert doubt.figures["value"] == pytest.approx(0.3)


@pytest.mark.parametrize("totals", [[5.0] * 4, [None] * 4, [0.0, 0.4, 0.4, 0.4], []])
def test_throttling_before_the_window_and_hosts_that_do_not_tell_raise_nothing(totals):
    assert throttled_doubts(usage(totals), [Window(S, 3 * S)]) == []

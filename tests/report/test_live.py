"""Progress while a job runs: the display on a terminal, the lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from rightsizer import events
from rightsizer.report.board import Board, render
from rightsizer.report.live import progress_display
from rightsizer.traffic.records import Progress

from .jobs import assert_golden, demo_trials, step

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def started(expected_s: float = 130.0, refused: int = 0) -> events.JobStarted:
    return events.JobStarted("demo-1a2b3c4d", "/store", 4, refused, expected_s)


def begun(trial_id: str = "t1", number: int = 1, host: str = "local") -> events.TrialStarted:
    return events.TrialStarted(trial_id, number, 4, "x", host, 60.0)


def progress(
    elapsed_s: float, left_s: float = 100.0, errors: int = 0, trial_id: str = "t1"
) -> events.StepProgress:
    seen = Progress(elapsed_s, 2, 90, 90 - errors, errors, 9.13, 212.4)
    return events.StepProgress(trial_id, seen, left_s)


def trial_ended(number: int) -> events.TrialEnded:
    trial = demo_trials()[number - 1]
    figures = trial.figures
    return events.TrialEnded(
        trial.id,
        number,
        4,
        trial.candidate.label,
        trial.state.value,
        None if trial.reason is None else trial.reason.value,
        trial.detail,
        None if figures is None else figures.max_invocations_per_min,
        None if figures is None else figures.max_kind,
        None if figures is None else figures.basis,
        None if figures is None else figures.percentile,
        None if figures is None else figures.model_latency_ms,
        trial.wall_s,
    )


def a_trial(seconds: int = 35) -> Iterator[events.Event]:
    """One trial of one long step."""
    label = demo_trials()[0].candidate.label
    yield started()
    yield events.TrialStarted("t1", 1, 4, label, "local", 130.0)
    yield events.ServerReady("t1", 6.25, 180.5)
    yield events.StepStarted("t1", 1, 3, "2 users", float(seconds))
    for elapsed in range(1, seconds + 1):
        yield progress(float(elapsed), 124.0 - elapsed)
    yield events.StepEnded("t1", step(2, 9.14, 243.1))
    yield trial_ended(1)
    yield events.JobEnded("demo-1a2b3c4d", "completed", 44.0)


def lines_of(*happened: events.Event) -> list[str]:
    out = StringIO()
    with progress_display(out, is_terminal=False, clock=lambda: 0.0) as show:
        for event in happened:
            show(event)
    return out.getvalue().splitlines()


def screen(*happened: events.Event, at_s: float = 0.0, width: int = 80, notice: str = "") -> str:
    """What the display shows `at_s` after the last event, all of which came at 0 s."""
    board = Board()
    for event in happened:
        board = board.after(event, 0.0)
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=25)
    console.print(render(board, at_s, notice))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_elsewhere_there_is_a_line_at_each_turn_and_every_ten_seconds_of_a_step():
    assert_golden("progress_lines.txt", "\n".join(lines_of(*a_trial())) + "\n")


def test_a_late_look_at_a_step_does_not_bring_two_lines():
    begin = [started(), begun(), events.StepStarted("t1", 1, None, "40/s", 60.0)]
    looks = [progress(31.0), progress(32.0), progress(39.9), progress(40.2)]
    lines = lines_of(*begin, *looks)[1:]
    assert [" 31 s of" in lines[1], " 40 s of" in lines[2], len(lines)] == [True, True, 3]


def test_each_step_counts_its_ten_seconds_from_its_own_start():
    one = [events.StepStarted("t1", 1, 2, "1 user", 15.0), progress(9.0), progress(10.0)]
    lines = lines_of(started(), begun(), *one, *one)
    assert len(lines) == 4


def test_trials_on_several_hosts_tell_of_their_steps_each_by_itself():
    steps = [events.StepStarted(trial, 1, 2, f"{trial} users", 15.0) for trial in ("t1", "t2")]
    looks = [progress(10.0), progress(10.0, trial_id="t2"), progress(11.0)]
    lines = lines_of(started(), begun(), begun("t2", 2), *steps, *looks)
    assert ["trial 1/4  step 1/2  t1 users" in lines[3], len(lines)] == [True, 5]
    assert "trial 2/4  step 1/2  t2 users" in lines[4]


def test_a_failed_trial_says_why_on_one_line():
    (line,) = lines_of(trial_ended(4))
    assert line == (
        "trial 4/4  local.1cpu OMP_NUM_THREADS=2 TF_ENABLE_ONEDNN_OPTS=1: failed, crashed  12 s  "
        "the server ended with signal SIGSEGV at 3 users fatal: [bold]boom[/]"
    )


def test_candidates_that_cannot_run_are_counted_at_the_start():
    (line,) = lines_of(started(refused=1))
    assert line == "job demo-1a2b3c4d: 4 trials, 1 candidate cannot run, about 2 min 10 s"


def test_lines_are_flushed_as_they_come(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as file, progress_display(file, is_terminal=False) as show:
        show(started())
        assert path.read_text().startswith("job demo-1a2b3c4d")


def test_the_display_tells_trial_step_rate_latency_errors_and_time_left():
    label = demo_trials()[1].candidate.label
    happened = (
        started(),
        events.TrialStarted("t2", 2, 4, label, "local", 97.0),
        events.ServerReady("t2", 6.25, 180.5),
        events.StepStarted("t2", 2, 3, "2 users", 15.0),
        progress(7.0, 90.0, trial_id="t2"),
    )
    shown = [
        screen(*happened[:2], at_s=4.0),
        screen(*happened[:3], at_s=1.0),
        screen(*happened, at_s=0.5),
        screen(*happened, at_s=9.0),
        screen(*happened, events.StepEnded("t2", step(2, 13.9, 212.4))),
    ]
    assert_golden("display_80.txt", "\n".join(shown) + "\n")


def test_trials_on_several_hosts_are_shown_one_below_the_other_until_they_end():
    two = [started(), begun("t1", 1, "a"), begun("t2", 2, "b")]
    two += [events.StepStarted("t2", 1, None, "40/s", 60.0), progress(10.0, trial_id="t2")]
    shown = screen(*two)
    assert "Trial 1/4  x  a\nStarting the server on a, 0 s\nTrial 2/4  x  b\nStep 1" in shown
    ended = replace(trial_ended(1), trial_id="t1")
    after = screen(*two, ended, begun("t3", 3, "a"))
    assert "Trial 1/4" not in after
    assert after.index("Trial 2/4") < after.index("Trial 3/4")


def test_the_bar_runs_on_between_two_looks():
    happened = [started(), events.TrialStarted("t", 1, 1, "x", "local", 60.0)]
    happened += [events.StepStarted("t", 1, None, "40/s", 60.0)]
    happened += [progress(10.0, 50.0, trial_id="t")]
    assert "10 s of 1 min 00 s" in screen(*happened)
    assert "12 s of 1 min 00 s" in screen(*happened, at_s=2.0)
    assert "48 s left" in screen(*happened, at_s=2.0)
    assert "nearly done" in screen(*happened, at_s=70.0)
    assert "Step 1  40/s" in screen(*happened)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_display_fits_its_terminal(width):
    label = "ml.m5dn.24xlarge " + " ".join(f"A_LONG_VARIABLE_{n}={n}" for n in range(9))
    happened = [started(), events.TrialStarted("t", 1, 1, label, "local", 60.0)]
    happened += [events.StepStarted("t", 1, None, "40/s", 60.0)]
    happened += [progress(10.0, 50.0, trial_id="t")]
    lines = screen(*happened, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 6


def test_a_terminal_tells_once_what_all_candidates_have(terminal):
    shared = {"A_FIXED_ONE": "1", "ANOTHER": "x y"}
    whole, brief = "local.1cpu A_FIXED_ONE=1 ANOTHER=x y SPEED=2", "local.1cpu SPEED=2"
    trial = events.TrialStarted("t1", 1, 4, whole, "local", 60.0, brief=brief)
    happened = [replace(started(), shared=shared), trial]
    happened += [replace(trial_ended(1), label=whole, brief=brief)]
    # Both jobs of an A/B test tell of their start.
    happened.insert(0, happened[0])
    with progress_display(terminal, is_terminal=True) as show:
        for event in happened:
            show(event)
    assert terminal.getvalue().count("A_FIXED_ONE=1") == 1
    assert "Every candidate has: A_FIXED_ONE=1 ANOTHER='x y'" in terminal.getvalue()
    board = screen(*happened[:3])
    assert "local.1cpu SPEED=2" in board
    assert "A_FIXED_ONE" not in board
    # A log's lines stand each by itself.
    assert all(whole in line for line in lines_of(*happened)[2:])


def test_a_server_that_runs_already_is_waited_for_not_started():
    waits = events.TrialStarted("t", 1, 1, "http://h/", "local", 60.0, starts_server=False)
    assert "Waiting for an answer, 4 s" in screen(started(), waits, at_s=4.0)
    line = lines_of(started(), waits)[-1]
    assert line == "trial 1/1  http://h/: waiting for it, 1 min 00 s left"


def test_a_notice_stands_below_the_rest():
    said = "ending the step; Ctrl-C again to stop at once"
    assert screen(started(), notice=said).splitlines()[-1] == said


def test_labels_are_never_read_as_markup():
    trial = events.TrialStarted("t", 1, 1, "x A=[red]1[/red]", "local", 1.0)
    assert "A=[red]1[/red]" in screen(started(), trial)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    return StringIO()


def test_a_terminal_keeps_a_line_of_each_finished_trial(terminal):
    with progress_display(terminal, is_terminal=True) as show:
        for event in a_trial():
            show(event)
    assert "548/min closed  P95 243 ms" in terminal.getvalue()


def test_nothing_is_drawn_before_the_first_event(terminal):
    with progress_display(terminal, is_terminal=True):
        assert terminal.getvalue() == ""
    assert HIDE_CURSOR not in terminal.getvalue()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_terminal_is_restored_however_the_run_ends(terminal, error):
    before = sys.stdout, sys.stderr

    def run() -> None:
        with progress_display(terminal, is_terminal=True) as show:
            show(started())
            assert HIDE_CURSOR in terminal.getvalue()
            raise error

    with pytest.raises(error):
        run()
    assert terminal.getvalue().rindex(SHOW_CURSOR) > terminal.getvalue().rindex(HIDE_CURSOR)
    assert (sys.stdout, sys.stderr) == before


def test_standard_output_is_left_alone_while_the_display_is_up(terminal, capsys):
    with progress_display(terminal, is_terminal=True) as show:
        show(started())
        print("a result")
    assert capsys.readouterr().out == "a result\n"


def test_a_dumb_terminal_gets_lines():
    out = StringIO()
    with progress_display(out, is_terminal=True) as show:
        show(started())
    assert out.getvalue() == "job demo-1a2b3c4d: 4 trials, about 2 min 10 s\n"

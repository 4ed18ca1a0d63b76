"""The error tree: one line a message, and the exit code of each branch."""

from __future__ import annotations

import pytest
from rightsizer.errors import (
    EnvironmentFault,
    ExitCode,
    InputError,
    ProblemsError,
    Reason,
    RightsizerError,
    StoreError,
    TrialEnded,
    TrialFailed,
    TrialInterrupted,
    TrialInvalid,
    TrialState,
    TrialStopped,
    UsageError,
)


@pytest.mark.parametrize(
    ("what", "why", "todo", "line"),
    [
        # all three parts
        ("cannot read a.yaml", "no such file", "give a path", "cannot read a.yaml: no such file; "
         "give a path"),
        # nothing to do about it
        ("no host", "all are busy", "", "no host: all are busy"),
        # no reason known
        ("port 8080 is taken", "", "free it", "port 8080 is taken; free it"),
        # only what happened
        ("out of disk", "", "", "out of disk"),
        # a reason of several lines, as parsers give them, is still one line
        ("not YAML", "expected ','\n  in line 3\n\tcolumn 4", "mend it",
         "not YAML: expected ',' in line 3 column 4; mend it"),
    ],
)  # fmt: skip
def test_a_message_is_one_line_of_what_why_and_what_to_do(what, why, todo, line):
    assert str(RightsizerError(what, why, todo)) == line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RightsizerError("x"), 1),
        (UsageError("x"), 2),
        (InputError("x"), 3),
        (ProblemsError(["x"]), 3),
        (EnvironmentFault("x"), 4),
        (StoreError("x"), 4),
    ],
)
def test_each_branch_of_the_tree_has_its_documented_exit_code(error, code):
    assert error.exit_code == code
    assert isinstance(error, RightsizerError)


def test_the_exit_codes_are_those_of_the_design():
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "BUG": 1,
        "USAGE": 2,
        "INPUT": 3,
        "ENVIRONMENT": 4,
        "PARTIAL": 5,
        "NO_VALID_MEASUREMENT": 6,
        "LIMIT_UNMET": 7,
        "REGRESSION": 8,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_several_problems_are_one_line_each_in_the_order_given():
    error = ProblemsError(["a.yaml:3: b: bad\n  twice", "a.yaml:1: c: worse"])
    assert str(error) == "a.yaml:3: b: bad twice\na.yaml:1: c: worse"
    assert error.problems == ("a.yaml:3: b: bad twice", "a.yaml:1: c: worse")


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        # the candidate's fault
        (TrialFailed, "failed"),
        # the measurement's fault
        (TrialInvalid, "invalid"),
        # host or engine lost
        (TrialInterrupted, "interrupted"),
        # by the user
        (TrialStopped, "stopped"),
    ],
)
def test_the_way_a_trial_ends_names_its_state(kind, state):
    ended = kind(Reason.CRASHED, "exit code 3", log_tail="Traceback")
    assert ended.state == state
    assert (ended.reason, ended.detail, ended.log_tail) == ("crashed", "exit code 3", "Traceback")
    assert str(ended) == "crashed: exit code 3"
    assert isinstance(ended, TrialEnded)


def test_resume_measures_again_only_what_was_interrupted_stopped_or_running():
    again = {state.value for state in TrialState if not state.is_final}
    assert again == {"interrupted", "stopped", "running"}


def test_no_two_reasons_share_a_name():
    assert len({reason.value for reason in Reason}) == len(Reason.__members__)

"""What can go wrong, as a tree, and the exit code of each branch.

RightsizerError                  1
├── UsageError                   2   the command line
├── InputError                   3   the job file or a file it names
│   └── ProblemsError            3   several of them, one line each
├── EnvironmentFault             4   this machine: hosts, ports, disk, leases
│   ├── FaultsError              4   several of them, one line each
│   └── StoreError               4   the database and the folder around it
└── TrialEnded                   -   a trial's way out; recorded, never a failure of the job
    ├── TrialFailed                  the candidate's fault
    ├── TrialInvalid                 the measurement's fault
    ├── TrialInterrupted             host or engine lost
    └── TrialStopped                 by the user, or the job's time was up
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """The process's exit codes. Where several apply: the lower of 1-4, then 6, 7, 5."""

    OK = 0
    BUG = 1
    USAGE = 2
    INPUT = 3
    ENVIRONMENT = 4
    PARTIAL = 5
    """A candidate ended with no valid trial, but a recommendation exists."""
    NO_VALID_MEASUREMENT = 6
    LIMIT_UNMET = 7
    """Measured, but nothing meets the limits."""
    REGRESSION = 8
    INTERRUPTED = 130
    TERMINATED = 143


class RightsizerError(Exception):
    """Base of every error this package raises on purpose.

    `what` happened, `why`, and what to do about it (`todo`); `str()` joins them into one line.
    """

    exit_code = ExitCode.BUG

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        self.what, self.why, self.todo = what, why, todo
        super().__init__(what, why, todo)

    def __str__(self) -> str:
        text = self.what + (f": {self.why}" if self.why else "")
        return " ".join((text + (f"; {self.todo}" if self.todo else "")).split())


class UsageError(RightsizerError):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE


class InputError(RightsizerError):
    """The job file, or a file it names, is wrong."""

    exit_code = ExitCode.INPUT


class ProblemsError(InputError):
    """All the problems of one input, at once; `str()` gives one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0] if problems else "no problem")
        self.problems = tuple(" ".join(problem.split()) for problem in problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class EnvironmentFault(RightsizerError):
    """This machine cannot do what was asked of it: hosts, CPUs, ports, disk, leases."""

    exit_code = ExitCode.ENVIRONMENT


class FaultsError(EnvironmentFault):
    """All the faults that were found, at once; `str()` gives one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(faults[0] if faults else "no fault")
        self.faults = tuple(" ".join(fault.split()) for fault in faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class StoreError(EnvironmentFault):
    """The store cannot be read or written."""


class TrialState(StrEnum):
    """How a trial stands. `RUNNING` is the only one that is not an end."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Measured, also when over the limit."""
    FAILED = "failed"
    """The candidate's fault."""
    INVALID = "invalid"
    """The measurement's fault."""
    INTERRUPTED = "interrupted"
    """Host or engine lost; re-run once by itself."""
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether `resume` keeps it rather than measuring again."""
        return self in (TrialState.SUCCEEDED, TrialState.FAILED, TrialState.INVALID)


class Reason(StrEnum):
    """Why a trial did not succeed. The one list; the README repeats it."""

    # failed
    NOT_RUNNABLE = "not-runnable"
    """No host can provide the candidate."""
    EXITED_AT_START = "exited-at-start"
    NEVER_READY = "never-ready"
    PORT_TAKEN = "port-taken"
    PROBE_REFUSED = "probe-refused"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out-of-memory"
    HUNG = "hung"
    """The server stopped answering in the middle of a step."""
    ERRORS = "errors"
    """Every step was over the error limit."""
    HOOK_FAILED = "hook-failed"
    INFEASIBLE = "infeasible"
    """Not started: candidates with the same value of a variable all failed alike."""
    # invalid
    GENERATOR_LOST = "generator-lost"
    GENERATOR_LIMITED = "generator-limited"
    """In every step the generator was too busy to tell its own limits from the server's."""
    NO_VALID_STEP = "no-valid-step"
    """Every step was spoilt by something else; the detail says by what."""
    NO_SAMPLES = "no-samples"
    NOT_COVERED = "not-covered"
    """Of `what-if`: nothing measured tells of the limit asked for."""
    # interrupted
    ENGINE_LOST = "engine-lost"
    HOST_LOST = "host-lost"
    HOST_BUSY = "host-busy"
    """A far machine on which another engine's trial runs."""
    # stopped
    BY_USER = "by-user"
    TIME_LIMIT = "time-limit"


class TrialEnded(RightsizerError):
    """A trial ended without a measurement; caught by the runner and recorded."""

    state = TrialState.FAILED

    def __init__(self, reason: Reason, detail: str, log_tail: str = "") -> None:
        super().__init__(reason.value, detail)
        self.reason, self.detail, self.log_tail = reason, detail, log_tail


class TrialFailed(TrialEnded):
    """The candidate's fault: it cannot start, crashes, runs out of memory, answers errors."""

    may_be_loading = False
    """A probe that was not answered, or by 503: the server may only not be ready yet."""


class TrialInvalid(TrialEnded):
    """The measurement's fault; nothing is known about the candidate."""

    state = TrialState.INVALID


class TrialInterrupted(TrialEnded):
    """Host or engine lost."""

    state = TrialState.INTERRUPTED


class TrialStopped(TrialEnded):
    """Ended by the user, or because the job's time was up."""

    state = TrialState.STOPPED

"""What a container's state says about its server."""

from __future__ import annotations

from typing import Any

from rightsizer.errors import Reason

KILLED = 137
"""128 and SIGKILL, as the engine reports it."""
CANNOT_RUN = (126, 127)
NO_TOOLKIT = (
    "that host lacks the NVIDIA container toolkit; install it, then "
    "`nvidia-ctk runtime configure --runtime=docker` and restart Docker"
)
NO_PROGRAM = "its program is not there, not executable, or for another processor"
HINTS = (
    ("read-only file system", "server.container.writable_root: true, or writable: [FOLDER]"),
    ("errno 30", "server.container.writable_root: true, or writable: [FOLDER]"),
    ("no space left on device", "server.container.tmp_mib: MORE"),
    ("can't start new thread", "server.container.pids: MORE"),
    ("resource temporarily unavailable", "server.container.pids: MORE"),
    ("network is unreachable", "server.container.network: bridge"),
    ("connection timed out", "server.container.network: bridge"),
    ("name resolution", "server.container.network: bridge"),
    ("could not resolve host", "server.container.network: bridge"),
    ("operation not permitted", "server.container.capabilities: [NAME]"),
    ("permission denied", "server.container.capabilities: [NAME], or user: NAME"),
)
"""What servers print when they want more than the least, and the key that gives it to them."""


def ending_of(
    state: dict[str, Any], ran_out: bool, log: str, before_ready: bool
) -> tuple[Reason, str] | None:
    """Why a container's server is no more, None while it runs.

    Args:
        state: the `State` of an inspected container.
        ran_out: whether the engine told that a process of it was killed for memory.
        log: what it printed last.
        before_ready: whether it was still being waited for.
    """
    # A worker may be killed while its parent lives on, with fewer of them.
    if ran_out or state.get("OOMKilled"):
        whole = "the server" if not state.get("Running") else "a process of the server"
        return Reason.OUT_OF_MEMORY, f"{whole} was killed at the instance type's memory limit"
    if state.get("Paused"):
        return Reason.HUNG, "the container is paused; somebody did `docker pause`"
    if state.get("Running"):
        return None
    code = int(state.get("ExitCode", 0))
    how = "signal SIGKILL" if code == KILLED else f"exit code {code}"
    if code in CANNOT_RUN:
        how += f" ({NO_PROGRAM})"
    said = str(state.get("Error") or "")
    if before_ready:
        detail = f"the server ended before it was ready: {how}"
        return Reason.EXITED_AT_START, _joined(detail, said, hint(f"{log}\n{said}"))
    detail = f"the server ended in the middle of the trial: {how}"
    return Reason.CRASHED, _joined(detail, said, hint(log))


def hint(text: str) -> str:
    """What would let a server that printed this start; empty where nothing is known."""
    lowered = text.lower()
    if "exec format error" in lowered:
        return NO_PROGRAM
    if "could not select device driver" in lowered:
        return NO_TOOLKIT
    found = next((key for sign, key in HINTS if sign in lowered), "")
    return f"the job file can allow more: {found}" if found else ""


def _joined(*parts: str) -> str:
    return "; ".join(" ".join(part.split()) for part in parts if part)

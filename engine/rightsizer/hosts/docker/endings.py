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
ANOTHER_PROCESSOR = "its program is for another processor, or is none"
NO_PROGRAM = {
    "exec format error": ANOTHER_PROCESSOR,
    "\x7felf": ANOTHER_PROCESSOR,  # a shell took it for a script
    "no such file or directory": "its program, or what is to run that, is not in the image",
    "executable file not found": "its program is not in the image",
    "permission denied": "its program may not be executed",
}
"""What init, a shell or the engine says of a program that did not begin, and what it means."""
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
    said = str(state.get("Error") or "")
    if before_ready:
        printed = f"{log}\n{said}"
        why = (_why_no_program(printed) if code in CANNOT_RUN else "") or hint(printed)
        detail = f"the server ended before it was ready: {how}"
        return Reason.EXITED_AT_START, _joined(detail, said, why)
    detail = f"the server ended in the middle of the trial: {how}"
    return Reason.CRASHED, _joined(detail, said, hint(log))


def hint(text: str) -> str:
    """What would let a server that printed this start; empty where nothing is known."""
    lowered = text.lower()
    if "could not select device driver" in lowered:
        return NO_TOOLKIT
    found = next((key for sign, key in HINTS if sign in lowered), "")
    return f"the job file can allow more: {found}" if found else ""


def of_refused_start(said: str) -> str:
    """What an engine's refusal to start a container means for its user, as one line."""
    return _joined(f"the container did not start: {said}", _why_no_program(said) or hint(said))


def _why_no_program(text: str) -> str:
    lowered = text.lower()
    return next((why for sign, why in NO_PROGRAM.items() if sign in lowered), "")


def _joined(*parts: str) -> str:
    return "; ".join(" ".join(part.split()) for part in parts if part)

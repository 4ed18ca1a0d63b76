"""Which accelerators this machine has: its vendors' tools are asked, nothing is started on them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rightsizer.accelerators import (
    Accelerator,
    ToolOutput,
    named,
    parse_neuron_ls,
    parse_nvidia_smi,
)
from rightsizer.machines import Machine

TOOL_S = 20.0
"""What a tool gets: without a persistence daemon the first call loads the driver."""
NEURON_TOOLS = "/opt/aws/neuron/bin"
"""Where they are installed; only login shells have it in PATH."""


@dataclass(frozen=True)
class Found:
    """Accelerators, and why some that seem to be there could not be asked for."""

    accelerators: tuple[Accelerator, ...] = ()
    faults: tuple[str, ...] = ()
    """One line each."""


def this_machines_accelerators(root: Path = Path("/")) -> Found:
    """NVIDIA's and Neuron's. Without neuron-ls a chip is told by its device node alone."""
    parts = [_asked(_nvidia), _asked(lambda: _neuron(root))]
    return Found(
        tuple(found for part in parts for found in part.accelerators),
        tuple(fault for part in parts for fault in part.faults),
    )


def with_accelerators(machine: Machine, leased: Mapping[str, str]) -> Machine:
    """A machine with the accelerators that no other job has leased."""
    found = this_machines_accelerators()
    kept = tuple(a for a in found.accelerators if a.id not in leased)
    held = [f"{a.id} is leased to {leased[a.id]}" for a in found.accelerators if a.id in leased]
    return replace(machine, accelerators=kept, accelerators_missing=(*found.faults, *held))


def tool(name: str) -> str | None:
    """Where a vendor's tool is; None where it is not."""
    return shutil.which(name) or shutil.which(name, path=NEURON_TOOLS)


def _nvidia() -> tuple[Accelerator, ...]:
    if tool("nvidia-smi") is None:
        return ()
    fields = "--query-gpu=uuid,name,memory.total,mig.mode.current"
    return parse_nvidia_smi(
        _said("nvidia-smi", "-L"), _said("nvidia-smi", fields, "--format=csv,noheader,nounits")
    )


def _neuron(root: Path) -> tuple[Accelerator, ...]:
    nodes = [p for p in (root / "dev").glob("neuron*") if re.fullmatch("neuron[0-9]+", p.name)]
    if tool("neuron-ls") is not None:
        try:
            return parse_neuron_ls(_said("neuron-ls", "-j"))
        except ToolOutput:
            if nodes:
                raise
    ordered = sorted(nodes, key=lambda path: int(path.name.removeprefix("neuron")))
    return tuple(named(f"/dev/{path.name}") for path in ordered)


def _asked(ask: Callable[[], tuple[Accelerator, ...]]) -> Found:
    try:
        return Found(ask())
    except ToolOutput as error:
        return Found(faults=(f"{error}; mend the driver, or remove the tool",))


def _said(name: str, *arguments: str) -> str:
    program = tool(name)
    assert program is not None
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TOOL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolOutput(f"{name} did not answer within {TOOL_S:g} s") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ToolOutput(f"{name} cannot be run: {error}") from None
    if done.returncode != 0:
        said = " ".join((done.stdout + done.stderr).split())[:200]
        raise ToolOutput(f"{name} failed with exit code {done.returncode}: {said}")
    return done.stdout

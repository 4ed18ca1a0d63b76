"""GPUs and Inferentia chips as values: what the vendors' tools print, and which a type gets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rightsizer.units import BYTES_PER_GIB, BYTES_PER_MIB

Maker = Literal["nvidia", "neuron"]

ID = r"(GPU-|MIG-).+|/dev/neuron[0-9]+"
"""NVIDIA's UUIDs, and the device nodes of Neuron chips."""
ALIKE = (0.9, 1.1)
"""Memory of the same model: a T4 of 16 GiB shows 15,109 to 15,360 MiB."""
UNTRIED = "no GPU or Inferentia chip has ever run under this release: check the first results"

_GPU = re.compile(r"GPU \d+: .+ \(UUID: (GPU-[^)]+)\)")
_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
_SLICE_GIB = re.compile(r"\.(\d+)gb")
_CHIPS = {"inf1": "Inferentia", "inf2": "Inferentia2", "trn1": "Trainium", "trn2": "Trainium2"}
_UNNAMED = {"nvidia": "NVIDIA GPU", "neuron": "Neuron device"}
_CHIPS_BY_SHAPE = {(4, 8): "Inferentia", (2, 32): "Inferentia2"}
"""By NeuronCores and GiB, for tools that do not name the instance type."""


@dataclass(frozen=True)
class Accelerator:
    """One GPU, a slice of one (MIG), or one Neuron chip."""

    maker: Maker
    id: str
    """`GPU-...`, `MIG-...` or `/dev/neuronN`."""
    name: str = ""
    memory_bytes: int = 0
    """0: not known."""
    cores: tuple[int, ...] = ()
    """NeuronCores, by the machine's own numbers; none where they are not known."""

    @property
    def is_slice(self) -> bool:
        """A part of a GPU: a process sees only one of them, and no tool tells its utilisation."""
        return self.id.startswith("MIG-")


class ToolOutput(ValueError):
    """A vendor's tool printed something else than it is documented to; one line."""


def maker_of(accelerator: str) -> Maker:
    """Who makes the accelerators that an instance type names."""
    return "neuron" if re.search("inferentia|trainium|neuron", accelerator, re.I) else "nvidia"


def named(id: str) -> Accelerator:
    """An accelerator of which only the id is known."""
    return Accelerator("neuron" if id.startswith("/dev/neuron") else "nvidia", id)


def is_of_model(found: Accelerator, model: str, memory_mib: int) -> bool:
    """Whether it is a whole one of an instance type's model, such as `NVIDIA T4`."""
    wanted = model.split()[-1].casefold()
    low, high = ALIKE
    return (
        not found.is_slice
        and wanted in re.split(r"[\s-]", found.name.casefold())
        and low <= found.memory_bytes / (memory_mib * BYTES_PER_MIB) <= high
    )


# -- what the tools print ----------------------------------------------------------------------


def parse_nvidia_smi(listing: str, table: str) -> tuple[Accelerator, ...]:
    """GPUs, and in place of each that is cut into slices its slices.

    Args:
        listing: `nvidia-smi -L`.
        table: `--query-gpu=uuid,name,memory.total,mig.mode.current --format=csv,noheader,nounits`.

    Raises:
        ToolOutput: the table is none.
    """
    slices = _slices(listing)
    found: list[Accelerator] = []
    for line in filter(str.strip, table.splitlines()):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 4 or not cells[0].startswith("GPU-"):
            raise ToolOutput(f"nvidia-smi printed {line.strip()[:100]!r}")
        uuid, name, memory, mode = cells
        if mode != "Enabled":
            memory_mib = int(memory) if memory.isdecimal() else 0  # of the machine's own: "[N/A]"
            found.append(Accelerator("nvidia", uuid, name, memory_mib * BYTES_PER_MIB))
        for profile, id in slices.get(uuid, ()):
            part = _SLICE_GIB.search(profile)
            gib = int(part[1]) if part else 0
            found.append(Accelerator("nvidia", id, f"{name} MIG {profile}", gib * BYTES_PER_GIB))
    return tuple(found)


def _slices(listing: str) -> dict[str, list[tuple[str, str]]]:
    """Profile and UUID of each slice, by the GPU's UUID."""
    slices: dict[str, list[tuple[str, str]]] = {}
    gpu = ""
    for line in listing.splitlines():
        if match := _GPU.match(line):
            gpu = match[1]
        elif match := _SLICE.match(line):
            slices.setdefault(gpu, []).append((match[1], match[2]))
    return slices


def parse_neuron_ls(text: str) -> tuple[Accelerator, ...]:
    """Chips of `neuron-ls -j`; older ones do not number the cores, which count on from chip to
    chip.

    Raises:
        ToolOutput: it is not the list that it should be.
    """
    try:
        return tuple(sorted(map(_chip, json.loads(text)), key=lambda chip: chip.cores))
    except (ValueError, TypeError, KeyError):
        raise ToolOutput(f"neuron-ls -j printed {text.strip()[:100]!r}") from None


def _chip(row: Mapping[str, Any]) -> Accelerator:
    number, count, memory_bytes = (
        int(row[key]) for key in ("neuron_device", "nc_count", "memory_size")
    )
    family = str(row.get("instance_type") or "").partition(".")[0]
    shape = (count, round(memory_bytes / BYTES_PER_GIB))
    return Accelerator(
        maker="neuron",
        id=f"/dev/neuron{number}",
        name=_CHIPS.get(family) or _CHIPS_BY_SHAPE.get(shape, "Neuron device"),
        memory_bytes=memory_bytes,
        cores=tuple(row.get("neuroncore_ids") or range(number * count, (number + 1) * count)),
    )


# -- what a server is told ---------------------------------------------------------------------


def visible(accelerators: Sequence[Accelerator]) -> dict[str, str]:
    """The variables that hold a process to its accelerators."""
    gpus = [a.id for a in accelerators if a.maker == "nvidia"]
    return {**({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}), **cores(accelerators)}


def cores(accelerators: Sequence[Accelerator]) -> dict[str, str]:
    """The NeuronCores of a process. They have the machine's numbers in a container too; a server
    of several processes gives each its part of them."""
    numbers = [core for a in accelerators for core in a.cores]
    return {"NEURON_RT_VISIBLE_CORES": ",".join(map(str, numbers))} if numbers else {}


def described(accelerators: Sequence[Accelerator]) -> str:
    """`2 x Tesla T4 (15 GiB)`, in the order they were found; empty for none."""
    counts: dict[str, int] = {}
    for found in accelerators:
        memory = f" ({found.memory_bytes / BYTES_PER_GIB:.3g} GiB)" if found.memory_bytes else ""
        name = (found.name or _UNNAMED[found.maker]) + memory
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} x {name}" for name, count in counts.items())

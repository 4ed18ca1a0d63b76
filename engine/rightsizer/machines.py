"""What a machine has, and what of it a trial gets. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rightsizer.accelerators import Accelerator
from rightsizer.catalog import MachineSize

Provenance = Literal["native", "emulated", "stand-in", "projected"]


@dataclass(frozen=True)
class MemoryNode:
    """A part of a machine whose CPUs reach its memory faster than the rest (NUMA)."""

    number: int
    cpus: frozenset[int]
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """What this machine has, of the CPUs that this process may use."""

    cores: tuple[tuple[int, ...], ...]
    """Physical cores, lowest first; each the logical CPUs of it that may be used."""
    cpu_count: int
    """Logical CPUs of the whole machine."""
    memory_bytes: int
    processor: str
    architecture: str
    threads_per_core: int = 1
    can_pin: bool = True
    """Whether processes can be held to CPU sets (not on macOS)."""
    nodes: tuple[MemoryNode, ...] = ()
    """None where they are not known."""
    accelerators: tuple[Accelerator, ...] = ()
    """Those that no other job has."""
    accelerators_missing: tuple[str, ...] = ()
    """Why there are not more; one line each."""

    @property
    def cpus(self) -> tuple[int, ...]:
        """The logical CPUs that may be used."""
        return tuple(sorted(cpu for core in self.cores for cpu in core))

    @property
    def size(self) -> MachineSize:
        """What `local.*` types and shares of its cost are made of."""
        makers = [found.maker for found in self.accelerators]
        return MachineSize(
            cpus=self.cpu_count,
            memory_bytes=self.memory_bytes,
            server_cpus=len(self.cpus) - len(self.cores[0]),
            gpus=makers.count("nvidia"),
            neuron_devices=makers.count("neuron"),
        )


@dataclass(frozen=True)
class Placement:
    """Where one trial's server and generator run."""

    server_cpus: tuple[int, ...]
    generator_cpus: tuple[int, ...]
    provenance: Provenance
    memory_bytes: int
    co_located: bool = False
    """The server shares a physical core with the generator."""
    shared_core: bool = False
    """A hyperthread sibling of one of the server's CPUs could not be kept idle."""
    memory_node: int | None = None
    """The only node whose memory a container uses, where all its CPUs are of one of several."""
    far: bool = False
    """The server's CPUs are another machine's."""
    relaxed: tuple[str, ...] = ()
    """What a container may do beyond the least, by the keys that allow it."""
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def cpus(self) -> frozenset[int]:
        """All CPUs of this machine to lease."""
        own = () if self.far else self.server_cpus
        return frozenset(own) | frozenset(self.generator_cpus)

    @property
    def own_accelerators(self) -> frozenset[str]:
        """Ids of all accelerators of this machine to lease."""
        return frozenset() if self.far else frozenset(a.id for a in self.accelerators)


def parse_cpus(text: str) -> tuple[int, ...]:
    """`0-2,5` to (0, 1, 2, 5)."""
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return tuple(sorted(found))


def format_cpus(cpus: Sequence[int]) -> str:
    """(0, 1, 2, 5) to `0-2,5`."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)

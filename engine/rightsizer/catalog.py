"""Instance types and what they cost.

The packaged table `instance_types.csv` names the public types; a price file overrides or adds rows;
`local.<n>cpu`, `local.gpu` and `local.neuron` are made from the machine at hand.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib import resources
from pathlib import Path

from rightsizer.errors import InputError, ProblemsError
from rightsizer.units import BYTES_PER_GIB, HOURS_PER_YEAR

LOCAL = re.compile(r"local\.(?:([1-9][0-9]{0,3})cpu|(gpu|neuron))")
ACCELERATED = {"gpu": "NVIDIA GPU", "neuron": "Neuron device"}
"""What one of `local.gpu` and `local.neuron` is."""

COST_MODEL_REQUIRED = ("purchase_usd", "lifetime_years")
POSITIVE = ("price_per_hour", "lifetime_years", "vcpus", "memory_gib")
"""Cells that cannot be 0; the others cannot be negative."""
COST_MODEL_OPTIONAL = ("idle_watts", "loaded_watts", "pue", "usd_per_kwh", "other_usd_per_year")


@dataclass(frozen=True)
class CostModel:
    """What a machine that one owns costs. Energy is paid at `pue` times what the machine draws."""

    purchase_usd: float
    lifetime_years: float
    idle_watts: float = 0.0
    loaded_watts: float = 0.0
    pue: float = 1.0
    usd_per_kwh: float = 0.0
    other_usd_per_year: float = 0.0

    def per_hour_usd(self, utilisation_ratio: float = 1.0) -> float:
        """The whole machine, USD an hour, drawing between idle and loaded watts by utilisation."""
        watts = self.idle_watts + (self.loaded_watts - self.idle_watts) * utilisation_ratio
        energy = watts / 1000.0 * self.pue * self.usd_per_kwh
        owned = self.purchase_usd / self.lifetime_years + self.other_usd_per_year
        return owned / HOURS_PER_YEAR + energy


@dataclass(frozen=True)
class InstanceType:
    """One row of the table. Memory in GiB, price in USD an hour (None: not known).

    A price file may add a type without its size (0): the hosts file then gives it.
    """

    name: str
    vcpus: int
    memory_gib: float
    physical_cores: int | None = None
    architecture: str = ""
    processor: str = ""
    accelerator: str = ""
    accelerator_count: int = 0
    accelerator_memory_mib: int = 0
    price_per_hour_usd: float | None = None
    price_basis: str = ""
    """corroborated | derived | unverified (packaged table), yours (price file), cost model, ..."""
    cost_model: CostModel | None = None
    price_date: str = ""
    """Of a price file, ISO 8601; empty where it is not known, as in the packaged table."""

    @property
    def is_local(self) -> bool:
        """Whether it is made from the machine at hand."""
        return LOCAL.fullmatch(self.name) is not None


@dataclass(frozen=True)
class MachineSize:
    """What a share of a machine is taken of."""

    cpus: int
    memory_bytes: int
    server_cpus: int = 0
    """Those left for servers, beside a generator's core."""
    gpus: int = 0
    neuron_devices: int = 0


class Catalog:
    """Instance types by name, `local.*` made on demand."""

    def __init__(
        self,
        rows: Mapping[str, InstanceType],
        machine: MachineSize,
        own: Collection[str] = (),
    ) -> None:
        self._rows = dict(rows)
        self._machine = machine
        self.own = frozenset(own)
        """Names of the types that a price file has."""

    def rows(self) -> list[InstanceType]:
        """The table's rows, in its order."""
        return list(self._rows.values())

    def find(self, name: str) -> InstanceType | None:
        """The type of this name with its price, or None where the table has no such row."""
        row = self._rows.get(name)
        local = LOCAL.fullmatch(name)
        if local is None:
            return row
        made = self._made(name, local[1], local[2])
        if row is None:
            return made
        return replace(
            made,
            memory_gib=row.memory_gib or made.memory_gib,
            price_per_hour_usd=row.price_per_hour_usd,
            price_basis=row.price_basis,
            cost_model=row.cost_model,
            price_date=row.price_date,
        )

    def _made(self, name: str, cpus: str | None, accelerator: str | None) -> InstanceType:
        """So many CPUs, or one accelerator with its equal share of the CPUs for servers."""
        machine = self._machine
        found = machine.gpus if accelerator == "gpu" else machine.neuron_devices
        vcpus = int(cpus) if cpus else max(1, machine.server_cpus // max(1, found))
        share = min(1.0, vcpus / machine.cpus)
        return InstanceType(
            name=name,
            vcpus=vcpus,
            memory_gib=machine.memory_bytes * share / BYTES_PER_GIB,
            processor="this machine",
            accelerator=ACCELERATED[accelerator] if accelerator else "",
            accelerator_count=1 if accelerator else 0,
        )

    def price(self, kind: InstanceType, utilisation_ratio: float = 1.0) -> float | None:
        """USD an hour. A cost model gives the type's share of the machine: the larger of its
        share of the CPUs and of the memory; the whole, where the type's size is not known."""
        if kind.cost_model is None:
            return kind.price_per_hour_usd
        if not kind.vcpus:
            return kind.cost_model.per_hour_usd(utilisation_ratio)
        memory_share = kind.memory_gib * BYTES_PER_GIB / self._machine.memory_bytes
        share = min(1.0, max(kind.vcpus / self._machine.cpus, memory_share))
        return share * kind.cost_model.per_hour_usd(utilisation_ratio)


def load_catalog(machine: MachineSize, prices: Path | None = None) -> Catalog:
    """The packaged table with the rows of a price file laid over it.

    Raises:
        InputError: the price file cannot be read.
        ProblemsError: rows of it are wrong, all at once.
    """
    text = resources.files("rightsizer").joinpath("instance_types.csv").read_text("utf-8")
    rows = {row["instance_type"]: _packaged(row) for row in csv.DictReader(text.splitlines())}
    given = [] if prices is None else _read_price_file(prices, rows)
    own = {row.name: row for row in given}
    return Catalog({**rows, **own}, machine, own)


def _packaged(row: Mapping[str, str]) -> InstanceType:
    return InstanceType(
        name=row["instance_type"],
        vcpus=int(row["vcpus"]),
        memory_gib=float(row["memory_gib"]),
        physical_cores=int(row["physical_cores"]),
        architecture=row["architecture"],
        processor=row["processor"],
        accelerator=row["accelerator"],
        accelerator_count=int(row["accelerator_count"] or 0),
        accelerator_memory_mib=int(row["accelerator_memory_mib"] or 0),
        price_per_hour_usd=float(row["price_per_hour"]),
        price_basis=row["price_basis"],
    )


def _read_price_file(path: Path, packaged: Mapping[str, InstanceType]) -> list[InstanceType]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read the price file {path}", why, "give a CSV file") from None
    rows: list[InstanceType] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, line in lines:
        cells = {
            key.strip(): (value or "").strip()
            for key, value in line.items()
            if isinstance(key, str)
        }
        try:
            row = _price_row(cells, packaged)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        if row.name in seen:
            problems.append(f"{path}:{number}: {row.name} is on line {seen[row.name]}; keep one")
        seen.setdefault(row.name, number)
        rows.append(row)
    if not lines:
        problems.append(f"{path}: no rows; give a header and at least one row")
    if problems:
        raise ProblemsError(problems)
    return rows


def _price_row(cells: Mapping[str, str], packaged: Mapping[str, InstanceType]) -> InstanceType:
    name = cells.get("instance_type", "")
    if not name:
        raise ValueError("instance_type is missing; name the type")
    if cells.get("currency", "USD") not in ("", "USD"):
        raise ValueError(f"currency {cells['currency']} is not supported; convert to USD")
    base = packaged.get(name)
    vcpus = _cell(cells, "vcpus", base.vcpus if base else 0)
    if vcpus != int(vcpus):
        raise ValueError(f"vcpus {cells['vcpus']!r} is not a whole number; mend it")
    return replace(
        base or InstanceType(name=name, vcpus=0, memory_gib=0.0),
        vcpus=int(vcpus),
        memory_gib=_cell(cells, "memory_gib", base.memory_gib if base else 0.0),
        processor=cells.get("processor") or (base.processor if base else ""),
        price_date=_date(cells),
        **_price_of(name, cells),  # type: ignore[arg-type]
    )


def _price_of(name: str, cells: Mapping[str, str]) -> dict[str, object]:
    modelled = [key for key in (*COST_MODEL_REQUIRED, *COST_MODEL_OPTIONAL) if cells.get(key)]
    if cells.get("price_per_hour") and modelled:
        raise ValueError(
            f"{name} has both price_per_hour and {modelled[0]}; keep one kind of price"
        )
    if cells.get("price_per_hour"):
        price = _cell(cells, "price_per_hour", 0.0)
        basis = cells.get("price_basis") or "yours"
        return {"price_per_hour_usd": price, "price_basis": basis, "cost_model": None}
    if all(cells.get(key) for key in COST_MODEL_REQUIRED):
        given = {key: _cell(cells, key, 0.0) for key in modelled}
        if given.get("pue", 1.0) < 1:
            raise ValueError("pue must be at least 1; mend it")
        if given.get("loaded_watts", 0.0) < given.get("idle_watts", 0.0):
            raise ValueError("loaded_watts is below idle_watts; mend them")
        model = CostModel(**given)
        if model.per_hour_usd() == 0:
            raise ValueError(f"the cost model of {name} comes to nothing; mend it")
        return {"price_per_hour_usd": None, "price_basis": "cost model", "cost_model": model}
    wanted = " and ".join(COST_MODEL_REQUIRED)
    raise ValueError(f"{name} has no price; give price_per_hour, or {wanted}")


def _date(cells: Mapping[str, str]) -> str:
    text = cells.get("price_date", "")
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise ValueError(f"price_date {text!r} is no date; write it as 2026-01-31") from None


def _cell(cells: Mapping[str, str], key: str, default: float) -> float:
    text = cells.get(key, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{key} {text!r} is not a number; mend it") from None
    if not math.isfinite(value) or value < 0 or (value == 0 and key in POSITIVE):
        bound = "above" if key in POSITIVE else "of at least"
        raise ValueError(f"{key} {text!r} must be a finite number {bound} 0; mend it")
    return value

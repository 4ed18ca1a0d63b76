"""rightsizer instance-types"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rightsizer.cli.options import JsonOption, VerboseOption
from rightsizer.cli.output import terminal_width, write_json


def instance_types(
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="A price file to lay over it.")
    ] = None,
    json: JsonOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Print the instance types and prices that the engine knows."""
    from dataclasses import asdict

    from rightsizer.catalog import load_catalog
    from rightsizer.hosts.accelerator_probe import with_accelerators
    from rightsizer.hosts.probe import this_machine
    from rightsizer.report.plan_text import instance_types_table

    machine = with_accelerators(this_machine(), {})
    catalog = load_catalog(machine.size, prices)
    names = [f"local.{n}cpu" for n in range(1, len(machine.cpus) + 1)]
    names += ["local.gpu"] if machine.size.gpus else []
    names += ["local.neuron"] if machine.size.neuron_devices else []
    local = [catalog.find(name) for name in names]
    rows = [row for row in local if row is not None]
    rows += [row for row in catalog.rows() if not row.is_local]
    priced = [(row, catalog.price(row)) for row in rows]
    if json is not None:
        documents = [{**asdict(row), "price_per_hour_usd": price} for row, price in priced]
        write_json({"schema": "rightsizer/instance-types/1", "instance_types": documents}, json)
    if json != "-":
        print(instance_types_table(priced, terminal_width()))

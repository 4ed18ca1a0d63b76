"""rightsizer measure"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rightsizer.cli import measuring
from rightsizer.cli.options import JsonOption, VerboseOption, WorkersOption
from rightsizer.cli.output import terminal_width

if TYPE_CHECKING:
    from rightsizer.events import Event
    from rightsizer.measured import Measured
    from rightsizer.measurement import OnEvent
    from rightsizer.stop_switch import StopSwitch


def measure(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Where the server answers: with protocol raw the whole address, else the base.",
            show_default=False,
        ),
    ],
    payload: Annotated[
        Path,
        typer.Option(
            "--payload",
            metavar="FILE",
            help="Request bodies: each file of a .tar.gz, or any other file as the only one.",
            show_default=False,
        ),
    ],
    content_type: Annotated[
        str | None,
        typer.Option(
            "--content-type", metavar="T", help="Of the payload. [application/octet-stream]"
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", metavar="NAME", help="raw, sagemaker, tfs-rest or tfs-grpc. [raw]"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Of tfs-rest, tfs-grpc: the model's. [model]"),
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option("--signature", metavar="NAME", help="The model's. [serving_default]"),
    ] = None,
    model_input: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="NAME", help="The signature's input that a payload becomes."
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="K:V", help="Sent with each request; may be repeated."),
    ] = None,
    limit_ms: Annotated[
        float | None,
        typer.Option(
            "--limit-ms",
            metavar="L",
            help="Limit on the latency. Without one the maximum is that at saturation.",
        ),
    ] = None,
    percentile: Annotated[
        str | None,
        typer.Option("--percentile", metavar="P", help="The limit's: P50, P90, P95 or P99. [P95]"),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout-s", metavar="T", help="Of one request, in all, seconds. [10]"),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option("--target", metavar="N", help="Invocations a minute to carry: sizes a fleet."),
    ] = None,
    traffic: Annotated[
        str | None,
        typer.Option(
            "--traffic",
            metavar="KIND",
            help="search: the highest rate within the limit. saturate: more users until "
            "throughput is flat. users:N: N users in a loop. rate:R: R arrivals a second, "
            "Poisson; rate:R:constant: evenly spaced. [search]",
        ),
    ] = None,
    duration_s: Annotated[
        float | None,
        typer.Option("--duration-s", metavar="D", help="Of users and rate, seconds. [60]"),
    ] = None,
    budget_s: Annotated[
        float | None,
        typer.Option("--budget-s", metavar="B", help="Of search and saturate, seconds. [60]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="S", help="Of payload order and Poisson arrivals. [1]"),
    ] = None,
    workers: WorkersOption = 1,
    json: JsonOption = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="DIR",
            help="Folder to keep the samples in, under measurements. Default: RIGHTSIZER_STORE, "
            "else the user's data folder.",
        ),
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Measure a server that already runs, at its URL.

    Nothing is started and nothing stored but the raw samples. Exit code 0 when the measurement
    is valid, 7 when the limit is not met, 6 when nothing can be said.
    """
    from rightsizer import measurement
    from rightsizer.events import JobStarted

    def start(on_event: OnEvent, switch: StopSwitch) -> Measured:
        def hear(event: Event) -> None:
            if not isinstance(event, JobStarted):
                on_event(event)
            elif json != "-":
                with suppress(OSError):  # whoever read our output may be gone
                    print(f"samples in {event.folder}", flush=True)

        return measurement.measure(
            url,
            payload,
            store=store,
            workers=workers,
            on_event=hear,
            switch=switch,
            content_type=content_type,
            protocol=protocol,
            model=model,
            signature=signature,
            input=model_input,
            headers=measurement.headers_of(header or ()),
            limit_ms=limit_ms,
            percentile=percentile,
            timeout_s=timeout_s,
            target_per_min=target,
            traffic=traffic,
            duration_s=duration_s,
            budget_s=budget_s,
            seed=seed,
        )

    measuring.measure(start, json, _print)


def _print(measured: Measured) -> None:
    """The steps, the doubts, and the closing sentence."""
    from rightsizer.report.measurement_text import measurement_text

    print(measurement_text(measured, terminal_width()))

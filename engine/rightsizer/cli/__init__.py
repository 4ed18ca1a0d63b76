"""The `rightsizer` command: one module a verb. Verbs import what they need when they run."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from gc import set_threshold  # not by the name of a verb
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from rightsizer.errors import ExitCode, RightsizerError

# Typer brings a click of its own, or uses the installed one: this is the right one's UsageError.
UsageMistake: Any = typer.BadParameter.__mro__[1]

VERBS = {
    "run": "run:run",
    "plan": "plan:plan",
    "measure": "measure:measure",
    "list": "listing:list_jobs",
    "show": "show:show",
    "report": "report:report",
    "resume": "resume:resume",
    "stop": "stop:stop",
    "gc": "gc:gc",
    "ab": "ab:ab",
    "compare": "compare:compare",
    "what-if": "what_if:what_if",
    "hosts": "hosts:hosts",
    "instance-types": "instance_types:instance_types",
    "selftest": "selftest:selftest",
    "serve": "serve:serve",
}
"""In the order of the help: module and function of each."""


LOOKS: Any = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


class Verbs(Mapping[str, Any]):
    """Commands by name, made when they are asked for: making all takes longer than many an
    answer."""

    def __getitem__(self, name: str) -> Any:
        return _command(name, *VERBS[name].split(":"))

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


@cache
def _command(name: str, module: str, function: str) -> Any:
    alone = typer.Typer(**LOOKS)
    alone.command(name)(getattr(import_module(f"{__name__}.{module}"), function))
    return typer.main.get_command(alone)


class Program(TyperGroup):
    """The verbs, beside whatever Typer has collected by itself: nothing."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": Verbs()})


app = typer.Typer(name="rightsizer", cls=Program, no_args_is_help=True, **LOOKS)


@app.callback()
def rightsizer() -> None:
    """Find the cheapest way to serve a model within a latency limit."""


def run_verb(arguments: list[str]) -> None:
    """The verb, without Typer's own way to end: it takes a reader gone for an error of ours."""
    command = typer.main.get_command(app)
    with command.make_context("rightsizer", arguments) as context:
        command.invoke(context)


def main() -> None:
    """Run the command line; every error is one line on standard error, with its exit code."""
    # Nearly all that is made stays: looking for cycles as usual is a tenth of an answer's time.
    set_threshold(100_000)
    verbose = "--verbose" in sys.argv
    # A terminal that cannot show a line's corner gets a question mark, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        run_verb(sys.argv[1:] or ["--help"])
        sys.stdout.flush()
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except UsageMistake as error:
        verb = error.ctx.command_path if error.ctx is not None else "rightsizer"
        what = " ".join(error.format_message().split()).rstrip(".")
        print(f"error: {what}; see {verb} --help", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    except typer.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except RightsizerError as error:
        if verbose:
            traceback.print_exc()
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); what is left to say goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(ExitCode.OK)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"error: a bug of ours: {what}; run it with --verbose and report it", file=sys.stderr)
        sys.exit(ExitCode.BUG)

"""The `rightsizer` command: one module a verb. Verbs import what they need when they run."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import Any

import typer

from rightsizer.cli import (
    ab,
    compare,
    gc,
    hosts,
    instance_types,
    listing,
    measure,
    plan,
    report,
    resume,
    run,
    selftest,
    serve,
    show,
    stop,
    what_if,
)
from rightsizer.errors import ExitCode, RightsizerError

# Typer brings a click of its own, or uses the installed one: this is the right one's UsageError.
UsageMistake: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="rightsizer",
    help="Find the cheapest way to serve a model within a latency limit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("measure")(measure.measure)
app.command("list")(listing.list_jobs)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("resume")(resume.resume)
app.command("stop")(stop.stop)
app.command("gc")(gc.gc)
app.command("ab")(ab.ab)
app.command("compare")(compare.compare)
app.command("what-if")(what_if.what_if)
app.command("hosts")(hosts.hosts)
app.command("instance-types")(instance_types.instance_types)
app.command("selftest")(selftest.selftest)
app.command("serve")(serve.serve)


def run_verb(arguments: list[str]) -> None:
    """The verb, without Typer's own way to end: it takes a reader gone for an error of ours."""
    command = typer.main.get_command(app)
    with command.make_context("rightsizer", arguments) as context:
        command.invoke(context)


def main() -> None:
    """Run the command line; every error is one line on standard error, with its exit code."""
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

"""rightsizer serve"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rightsizer.cli.options import StoreOption, VerboseOption

PORT = 8717


def serve(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="0: one that is free."),
    ] = PORT,
    store: StoreOption = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="serve.yaml", help="Hosts, images, endpoints, S3 ..."),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            "--credentials",
            metavar="FILE",
            help="The key pair of clients, made where it is not there. Default: credentials in "
            "the store.",
        ),
    ] = None,
    time_scale: Annotated[
        float,
        typer.Option(
            "--time-scale",
            metavar="X",
            min=0.01,  # of shorter phases the stretches between users merge into one step
            max=1.0,
            help="For trials: phases are X times as long as the reference's.",
        ),
    ] = 1.0,
    verbose: VerboseOption = False,
) -> None:
    """Answer the reference service's API: SageMaker inference recommendation jobs, run here."""
    try:
        from rightsizer.api.serving import serve as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("botocore", "starlette", "uvicorn", "regex"):
            raise
        from rightsizer.errors import EnvironmentFault

        what = f"the API needs {missing}, which is not installed"
        raise EnvironmentFault(what, "", "pip install 'rightsizer[api,s3]'") from None
    run(
        host=host,
        port=port,
        store=store,
        config=config,
        credentials=credentials,
        time_scale=time_scale,
        verbose=verbose,
    )

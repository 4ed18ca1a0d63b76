"""serve.yaml: what the API serves with, checked strictly and all at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from rightsizer.catalog import MachineSize, load_catalog
from rightsizer.contradictions import unknown_placeholders
from rightsizer.documents import Problem, Strict, problems_of, read_document
from rightsizer.errors import InputError, ProblemsError
from rightsizer.inventory import load_hosts
from rightsizer.placeholders import names_in
from rightsizer.spec import Address, Seconds

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
ANY_MACHINE = MachineSize(cpus=1, memory_bytes=1)
"""What is wrong with a price file is so on every machine."""


class ImageSpec(Strict):
    """What an image of the cloud is here: the first row whose pattern fits is taken."""

    uri: str = Field(min_length=1)
    """A pattern of image URIs, as of the shell: `*/tensorflow-inference:*`."""
    image: str | None = None
    """The image of docker hosts."""
    command: tuple[str, ...] | None = Field(default=None, strict=False, min_length=1)
    """The command of process hosts; its folder is serve.yaml's."""


class EndpointSpec(Strict):
    """An endpoint that already runs, under the name by which jobs ask for it."""

    name: str = Field(min_length=1)
    url: Address
    instance_type: str = "local.1cpu"
    """What it runs on, for its price."""
    ready_timeout_s: Seconds = 10.0
    """It runs already: one that is gone is not to hold the queue up."""


class MetadataSpec(Strict):
    """A row of ListModelMetadata."""

    domain: str
    task: str
    framework: str
    model: str
    framework_version: str = ""


class S3Spec(Strict):
    """Where s3:// addresses are."""

    endpoint_url: Address
    region: str = REGION
    anonymous: bool = False
    """Without: with the credentials of the server's own environment."""


class Settings(Strict):
    """serve.yaml. Paths are relative to it."""

    hosts: str | None = None
    prices: str | None = None
    images: tuple[ImageSpec, ...] = Field(default=(), strict=False)
    """Before the built-in rows."""
    endpoints: tuple[EndpointSpec, ...] = Field(default=(), strict=False)
    s3: S3Spec | None = None
    folders: tuple[str, ...] = Field(default=(), strict=False)
    """Where file:// addresses may lie."""
    metadata: tuple[MetadataSpec, ...] = Field(default=(), strict=False)
    """Before the built-in rows."""
    account_id: Annotated[str, Field(pattern=r"^[0-9]{12}$")] = ACCOUNT_ID
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")] = REGION
    allowed_hosts: tuple[str, ...] = Field(default=(), strict=False)
    """More names by which clients may call the server, where it listens beyond this machine."""


def load_settings(path: Path) -> Settings:
    """Read a serve.yaml; raises ProblemsError with everything wrong in it and its files."""
    document = read_document(path)
    problems = list(document.problems)
    settings = Settings()
    try:
        settings = Settings.model_validate(document.data or {})
    except ValidationError as error:
        problems += problems_of(error, document.data)
    problems += _contradictions(settings) + _missing(settings, path.parent)
    told = document.render(problems) + _wrong_in_files(settings, path.parent)
    if told:
        raise ProblemsError(told)
    return settings


def _contradictions(settings: Settings) -> list[Problem]:
    problems = []
    for i, row in enumerate(settings.images):
        if row.image is None and row.command is None:
            message = "says nothing of what runs here; give image (docker hosts), command, or both"
            problems.append(Problem(("images", i), message))
        if row.command is not None:
            at, words = ("images", i, "command"), row.command
            problems += unknown_placeholders(at, words)
            if not any("port" in names_in(word) for word in words):
                problems.append(Problem(at, "the command has no {port}; add it"))
    names = [endpoint.name for endpoint in settings.endpoints]
    for i, name in enumerate(names):
        if names.index(name) != i:
            message = f"{name!r} is taken; rename one"
            problems.append(Problem(("endpoints", i, "name"), message))
    return problems


def _wrong_in_files(settings: Settings, base_dir: Path) -> list[str]:
    """What is wrong in the files that are there, each problem as its file's own readers tell it."""
    checks: list[tuple[str | None, Callable[[Path], object]]] = [
        (settings.hosts, load_hosts),
        (settings.prices, partial(load_catalog, ANY_MACHINE)),
    ]
    told: list[str] = []
    for name, read in checks:
        if name is None or not os.path.isfile(base_dir / name):
            continue
        try:
            read(base_dir / name)
        except ProblemsError as error:
            told += error.problems
        except InputError as error:
            told.append(str(error))
    return told


def _missing(settings: Settings, base_dir: Path) -> list[Problem]:
    """What is named and is not there."""
    problems = []
    for key, name in (("hosts", settings.hosts), ("prices", settings.prices)):
        if name is not None and not os.path.isfile(base_dir / name):
            problems.append(Problem((key,), f"there is no file {name!r}; mend the path"))
    for i, folder in enumerate(settings.folders):
        if not os.path.isdir(base_dir / folder):
            message = f"there is no folder {folder!r}; make it, or mend the path"
            problems.append(Problem(("folders", i), message))
    return problems

"""What an image of the cloud is here: a local image, a command, or both."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import rightsizer
from rightsizer.api.faults import validation
from rightsizer.api.settings import Settings

# The reference's own images that serve a TensorFlow SavedModel, by region, partition and tag; not
# those of Elastic Inference (-eia), of training, or of other accounts' folders.
TENSORFLOW = re.compile(
    r"[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z0-9.-]+/"
    r"(tensorflow-inference(-graviton)?|sagemaker-tensorflow(-serving)?)"
    r"(:(?P<tag>[\w.-]+))?(@sha256:[0-9a-f]+)?"
)
SAVEDMODEL_IMAGE = "rightsizer/savedmodel-server:cpu"
SAVEDMODEL_ARGUMENTS = ("--port", "{port}", "--model-dir", "{model_dir}")


@dataclass(frozen=True)
class LocalServer:
    """What is run for an image URI: one of the two, or both."""

    image: str | None
    """On docker hosts."""
    command: tuple[str, ...] | None
    """On process hosts; placeholders as in a job file, relative paths are serve.yaml's."""
    note: str = ""
    """How it differs from what was asked for; empty where it does not."""


def local_server(image_uri: str, settings: Settings, containers: Path | None = None) -> LocalServer:
    """The local server of an image URI: by the first row of `images` that fits, or a built-in one.

    `containers` is the folder of serving images; by default the one beside the engine, if any.

    Raises:
        ApiFault: ValidationException; nothing fits.
    """
    for row in settings.images:
        if fnmatchcase(image_uri, row.uri):
            return LocalServer(row.image, row.command)
    found = TENSORFLOW.fullmatch(image_uri)
    if found is None:
        raise validation(
            f"no local server is known for image {image_uri!r}; add a row to images of serve.yaml,"
            f" such as: images: [{{uri: {json.dumps(image_uri)}, image: my-server:1}}]"
        )
    return LocalServer(
        SAVEDMODEL_IMAGE, _command(containers or _containers()), _note(found["tag"] or "")
    )


def _containers() -> Path:
    """Beside the engine in a checkout; where the package was installed there is no such folder."""
    return Path(rightsizer.__file__).parents[2] / "containers"


def _command(containers: Path) -> tuple[str, ...] | None:
    serve = containers / "savedmodel-server" / "serve.py"
    return ("{python}", str(serve), *SAVEDMODEL_ARGUMENTS) if serve.is_file() else None


def _note(tag: str) -> str:
    """There is no image of ours that computes on GPUs and speaks the reference's protocol."""
    if "gpu" not in re.split(r"[-_.]", tag):
        return ""
    return f"the image asked for computes on GPUs; {SAVEDMODEL_IMAGE} computes on CPUs"

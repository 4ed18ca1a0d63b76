"""Where a server's knobs are: a file of the job's, one beside the server, or an image's label."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rightsizer.archives import regular_file_bytes
from rightsizer.containers import KNOBS_LABEL, EngineFacts
from rightsizer.documents import parse_document, read_document
from rightsizer.errors import InputError
from rightsizer.knob_reading import parse_knobs
from rightsizer.knobs import Knobs
from rightsizer.spec import ServerSpec

FILE = "knobs.yaml"
MOST_BYTES = 64 * 1024


def knobs_of(server: ServerSpec, base_dir: Path, engines: Iterable[EngineFacts]) -> Knobs | None:
    """`server.knobs`, else `knobs.yaml` beside what the command names, else the image's label.

    Raises:
        InputError, ProblemsError: it cannot be read, or is wrong.
    """
    path = knobs_file(server, base_dir)
    if path is not None:
        if regular_file_bytes(path) > MOST_BYTES:
            raise InputError(f"{path} is refused", "it is too long for a knobs file", "shorten it")
        return parse_knobs(read_document(path))
    for engine in engines:
        facts = engine.images.get(server.image or "")
        if facts is not None and facts.knobs:
            name = f"image {server.image}, label {KNOBS_LABEL}"
            if len(facts.knobs) > MOST_BYTES:
                raise InputError(f"{name} is refused", "it is too long", "build the image again")
            return parse_knobs(parse_document(Path(name), facts.knobs))
    return None


def knobs_file(server: ServerSpec, base_dir: Path) -> Path | None:
    """The file that the job names, which may be missing, or the one beside its server."""
    return base_dir / server.knobs if server.knobs else _beside(server, base_dir)


def _beside(server: ServerSpec, base_dir: Path) -> Path | None:
    """Beside the first word of the command that is a file; an absolute program is no server."""
    words = list(server.command or ())
    if words and Path(words[0]).is_absolute():
        words = words[1:]
    for word in words:
        if _is_file(base_dir / word):
            beside = (base_dir / word).parent / FILE
            return beside if beside.is_file() else None
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a word too long to be a name
        return False

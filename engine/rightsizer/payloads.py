"""Request bodies from a user's archive or file, and the order they are sent in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.random import default_rng  # numpy loads it late: not within a step
from pydantic import AfterValidator, Field, ValidationError

from rightsizer.archives import (
    PAYLOAD_LIMITS,
    ArchiveLimits,
    read_members,
    regular_file_bytes,
)
from rightsizer.documents import Document, Problem, Strict, problems_of, read_document
from rightsizer.errors import InputError, ProblemsError
from rightsizer.units import BYTES_PER_GIB

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz")
BLOCK = 4096
"""Draws made at once: one then costs well under a microsecond."""


@dataclass(frozen=True)
class Payload:
    """One request body as the user gave it."""

    name: str
    body: bytes = field(repr=False)
    content_type: str
    weight: float = 1.0


@dataclass(frozen=True)
class PayloadSet:
    """All request bodies of a job."""

    payloads: tuple[Payload, ...]
    digest: str
    """sha256 of the archive, or file, and of its manifest."""

    @property
    def weights(self) -> list[float]:
        """By payload; they need not add up to one."""
        return [payload.weight for payload in self.payloads]

    @property
    def total_bytes(self) -> int:
        """Of all bodies."""
        return sum(len(payload.body) for payload in self.payloads)


def _header_value(text: str) -> str:
    # A line break would let a manifest write headers of its own.
    if not (text and text.isascii() and text.isprintable()):
        raise ValueError("must be one line of plain ASCII, like image/jpeg")
    return text


class ManifestFile(Strict):
    """What a manifest says of one file. Sizes and digests are for the reader; sha256 is held to."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    content_type: Annotated[str, AfterValidator(_header_value)] | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    sha256: str | None = None


class Manifest(Strict):
    """`NAME.manifest.yaml` beside `NAME.tar.gz`."""

    files: dict[str, ManifestFile]


def load_payloads(
    path: Path, content_type: str, *, limits: ArchiveLimits = PAYLOAD_LIMITS
) -> PayloadSet:
    """The bodies of an archive (.tar.gz, .tgz), sorted by name; of any other file, itself.

    Raises:
        InputError: the file or archive cannot be read, or is refused.
        ProblemsError: its manifest is wrong.
    """
    if not path.name.endswith(ARCHIVE_SUFFIXES):
        if regular_file_bytes(path) > limits.max_bytes:
            why = f"it is over {limits.max_bytes / BYTES_PER_GIB:g} GiB"
            raise InputError(f"{path} is refused", why, "make it smaller")
        body = path.read_bytes()
        one = Payload(path.name, body, content_type)
        return PayloadSet((one,), hashlib.sha256(body).hexdigest())
    members = sorted(read_members(path, limits), key=lambda member: member.name)
    payloads = tuple(Payload(member.name, member.body, content_type) for member in members)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    manifest_path = _manifest_path(path)
    if manifest_path.exists():
        payloads = _described(payloads, read_document(manifest_path))
        digest.update(manifest_path.read_bytes())
    return PayloadSet(payloads, digest.hexdigest())


def payload_sequence(weights: Sequence[float], seed: int, stream: int) -> Iterator[int]:
    """Endless indices drawn with the weights.

    The k-th depends on (weights, seed, stream, k) alone: a sequence is a value that can be replayed
    exactly on another server. Generator: PCG64 seeded by SeedSequence([seed, stream]).
    """
    random = default_rng([seed, stream])
    shares = np.asarray(weights, dtype=np.float64)
    # Of the largest: finite weights may have no finite sum.
    cumulative = np.cumsum(shares / shares.max())
    while True:
        draws = random.random(BLOCK) * cumulative[-1]
        found = np.searchsorted(cumulative, draws, side="right")
        # Rounding may put a draw on the very end.
        yield from np.minimum(found, len(cumulative) - 1).tolist()


def _manifest_path(archive: Path) -> Path:
    for suffix in ARCHIVE_SUFFIXES:
        if archive.name.endswith(suffix):
            return archive.with_name(archive.name.removesuffix(suffix) + ".manifest.yaml")
    raise AssertionError(archive)


def _described(payloads: Sequence[Payload], document: Document) -> tuple[Payload, ...]:
    """The payloads with what the manifest says of them."""
    problems = list(document.problems)
    manifest = Manifest(files={})
    try:
        manifest = Manifest.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(error, document.data)
    digests = {payload.name: hashlib.sha256(payload.body).hexdigest() for payload in payloads}
    for name, said in manifest.files.items():
        at = ("files", name)
        if name not in digests:
            problems.append(Problem(at, "the archive has no such file; remove it"))
        elif said.sha256 is not None and digests[name] != said.sha256.lower():
            message = "the file in the archive is another one; make both again"
            problems.append(Problem((*at, "sha256"), message))
    if problems:
        raise ProblemsError(document.render(problems))
    described = []
    for payload in payloads:
        said = manifest.files.get(payload.name, ManifestFile())
        kind = said.content_type or payload.content_type
        described.append(Payload(payload.name, payload.body, kind, said.weight))
    assert all(math.isfinite(payload.weight) for payload in described)
    return tuple(described)

"""Models and payloads brought in from S3, https:// addresses and folders of this machine."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import IO

from rightsizer.api.locations import LocalFile, Location, S3Object, locate, refused
from rightsizer.api.remote_objects import (
    PIECE_BYTES,
    require_extra,
    s3_pieces,
    too_big,
    web_pieces,
)
from rightsizer.api.settings import Settings
from rightsizer.archives import MODEL_LIMITS, PAYLOAD_LIMITS, verify
from rightsizer.errors import EnvironmentFault, InputError

LIMIT_S = 3600.0


def check_url(url: str, settings: Settings, base_dir: Path) -> None:
    """Whether an address could be fetched, as far as can be told without the network.

    Raises:
        InputError: no known scheme, a folder, a file that the settings do not allow, or the extra
            `s3` is not installed.
    """
    _located(url, settings, base_dir)


def fetch(
    url: str,
    into: Path,
    settings: Settings,
    base_dir: Path,
    limit_bytes: int = MODEL_LIMITS.max_bytes,
    limit_s: float = LIMIT_S,
) -> None:
    """Copy one object to the file `into`, all of it or nothing. Not from within an event loop.

    Raises:
        InputError: it may not be read, is not there, is no file, empty, too big, or too slow.
        EnvironmentFault: the disk does not take it.
    """
    location = _located(url, settings, base_dir)
    part: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{into.name}.", dir=into.parent)
        part = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            asyncio.run(_copy(location, file, settings, limit_bytes, limit_s))
        part.replace(into)
    except TimeoutError:
        why = f"it did not come within {limit_s:g} s"
        raise refused(location.shown, why, "bring it nearer, or make it smaller") from None
    except OSError as error:
        why = error.strerror or str(error)
        what = f"cannot keep {location.shown}"
        raise EnvironmentFault(what, why, "free space or mend permissions") from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def fetch_payload(url: str, into: Path, settings: Settings, base_dir: Path) -> None:
    """Fetch a sample payload, a .tar.gz of request bodies, and read it to its end.

    Raises:
        InputError: its first word is PayloadError, the reference's for these.
        EnvironmentFault: the disk does not take it.
    """
    try:
        fetch(url, into, settings, base_dir, PAYLOAD_LIMITS.max_bytes)
        try:
            verify(into, PAYLOAD_LIMITS)
        except InputError as error:
            into.unlink(missing_ok=True)
            shown = locate(url, settings, base_dir).shown
            raise InputError(error.what.replace(str(into), shown), error.why, error.todo) from None
    except InputError as error:
        raise InputError(f"PayloadError: {error.what}", error.why, error.todo) from None


def _located(url: str, settings: Settings, base_dir: Path) -> Location:
    location = locate(url, settings, base_dir)
    if not isinstance(location, LocalFile):
        require_extra(location.shown)
    return location


async def _copy(
    location: Location, file: IO[bytes], settings: Settings, limit_bytes: int, limit_s: float
) -> None:
    copied_bytes = 0
    async with asyncio.timeout(limit_s), aclosing(_pieces(location, settings, limit_bytes)) as came:
        async for piece in came:
            copied_bytes += len(piece)
            if copied_bytes > limit_bytes:
                raise too_big(location.shown, limit_bytes)
            file.write(piece)
    if not copied_bytes:
        raise refused(location.shown, "it is empty", "make or upload it again")


def _pieces(
    location: Location, settings: Settings, limit_bytes: int
) -> AsyncGenerator[bytes, None]:
    if isinstance(location, LocalFile):
        return _local_pieces(location)
    if isinstance(location, S3Object):
        return s3_pieces(location, settings.s3, limit_bytes)
    return web_pieces(location)


async def _local_pieces(found: LocalFile) -> AsyncGenerator[bytes, None]:
    try:
        with open(found.path, "rb", opener=_without_links) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise refused(found.shown, "it is not a regular file", "give a .tar.gz file")
            while piece := file.read(PIECE_BYTES):
                yield piece
                await asyncio.sleep(0)  # the deadline's turn
    except OSError as error:
        why = error.strerror or str(error)
        raise refused(found.shown, why, "mend the path or permissions") from None


def _without_links(path: str, flags: int) -> int:
    """The path had no links: one that is there now was put there since. A pipe would wait."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

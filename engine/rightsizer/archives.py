"""Archives from users are hostile: regular files and folders only, within limits, or not at all.

Python's `data` filter alone is not enough: up to 3.11 it knows no limits, and links pass it.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from rightsizer.errors import EnvironmentFault, InputError
from rightsizer.units import BYTES_PER_GIB

BLOCK_BYTES = 1 << 20
HEADER_BYTES = 1536
"""What a member may cost beside its content before it counts: a header, and one for a long name."""


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may unpack to."""

    max_bytes: int
    max_members: int
    max_ratio: float = 200.0
    """Unpacked over packed bytes, asked once 64 MiB are unpacked: small files may be regular."""


PAYLOAD_LIMITS = ArchiveLimits(max_bytes=2 * BYTES_PER_GIB, max_members=100_000)
MODEL_LIMITS = ArchiveLimits(max_bytes=20 * BYTES_PER_GIB, max_members=100_000)
FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class Member:
    """One regular file of an archive."""

    name: str
    body: bytes


def read_members(path: Path, limits: ArchiveLimits = PAYLOAD_LIMITS) -> list[Member]:
    """All regular files of a .tar.gz, in its order.

    Raises:
        InputError: missing, not gzip, truncated, empty, over a limit, or with members that are
            links, devices or lie outside the archive.
    """
    members = []
    with _members(path, limits) as found:
        for name, info, content in found:
            if info.isfile():
                members.append(Member(name, content.read()))
    if not members:
        raise InputError(f"{path} holds no file", "", "put at least one file into it")
    return members


def extract(path: Path, into: Path, limits: ArchiveLimits = MODEL_LIMITS) -> None:
    """Unpack a .tar.gz to the new folder `into`, all of it or nothing.

    Raises:
        InputError: as `read_members`.
        EnvironmentFault: `into` exists, or the disk does not take it.
    """
    if into.exists():
        raise EnvironmentFault(f"cannot unpack {path}", f"{into} exists", "remove it")
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{into.name}.", dir=into.parent))
    except OSError as error:
        raise _disk_fault(path, error) from None
    try:
        _extract(path, folder, limits)
        folder.chmod(0o755)
        folder.rename(into)
    except OSError as error:
        raise _disk_fault(path, error) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _disk_fault(path: Path, error: OSError) -> EnvironmentFault:
    why = error.strerror or str(error)
    return EnvironmentFault(f"cannot unpack {path}", why, "free space or mend permissions")


def _extract(path: Path, folder: Path, limits: ArchiveLimits) -> None:
    count = 0
    with _members(path, limits) as found:
        for name, info, content in found:
            target = folder / name
            if info.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(content, file, BLOCK_BYTES)
            target.chmod(0o755 if info.mode & 0o100 else 0o644)
            count += 1
    if not count:
        raise InputError(f"{path} holds no file", "", "put at least one file into it")


class _Metered:
    """The unpacked stream, counted: a bomb is noticed while it goes off, not afterwards."""

    def __init__(self, path: Path, stream: gzip.GzipFile, limits: ArchiveLimits) -> None:
        self._path, self._stream, self._limits = path, stream, limits
        self._packed_bytes = max(1, path.stat().st_size)
        self._read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As a file's; never more than a block at a time."""
        data = self._stream.read(min(size, BLOCK_BYTES) if size >= 0 else BLOCK_BYTES)
        self._read_bytes += len(data)
        headers_bytes = HEADER_BYTES * self._limits.max_members
        if self._read_bytes > self._limits.max_bytes + headers_bytes:
            raise _too_big(self._path, self._limits)
        ratio = self._read_bytes / self._packed_bytes
        if self._read_bytes > FREE_BYTES and ratio > self._limits.max_ratio:
            why = f"it unpacks to over {self._limits.max_ratio:g} times its size"
            raise InputError(f"{self._path} is refused", why, "pack real files")
        return data


def _too_big(path: Path, limits: ArchiveLimits) -> InputError:
    why = f"it unpacks to over {limits.max_bytes / BYTES_PER_GIB:g} GiB"
    return InputError(f"{path} is refused", why, "make it smaller")


@contextmanager
def _members(
    path: Path, limits: ArchiveLimits
) -> Iterator[Iterator[tuple[str, tarfile.TarInfo, IO[bytes]]]]:
    """The checked members of an archive, one after the other; every failure as InputError."""
    try:
        with gzip.open(path, "rb") as stream:
            metered = _Metered(path, stream, limits)
            with tarfile.open(fileobj=cast(IO[bytes], metered), mode="r|") as archive:
                yield _checked(path, archive, limits)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "", "give the path of a .tar.gz file") from None
    except gzip.BadGzipFile:
        raise InputError(f"{path} is not gzip", "", "pack it with `tar -czf`") from None
    except EOFError:
        raise InputError(f"{path} is truncated", "", "make or copy it again") from None
    except (tarfile.TarError, zlib.error) as error:
        todo = "pack it with `tar -czf`"
        raise InputError(f"{path} is not a readable tar archive", str(error), todo) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder", "", "pack it with `tar -czf`") from None
    except PermissionError as error:
        raise InputError(f"cannot read {path}", error.strerror or "", "mend permissions") from None


def _checked(
    path: Path, archive: tarfile.TarFile, limits: ArchiveLimits
) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes]]]:
    seen: set[str] = set()
    total_bytes = count = 0
    for info in archive:
        # A tar stream keeps every header; 10^6 of them would be a bomb of their own.
        archive.members = []  # type: ignore[attr-defined]
        count += 1
        total_bytes += info.size
        if count > limits.max_members:
            why = f"it holds over {limits.max_members:,} members"
            raise InputError(f"{path} is refused", why, "pack fewer, larger files")
        if total_bytes > limits.max_bytes:
            raise _too_big(path, limits)
        name = _safe_name(path, info)
        if name in ("", ".") or _is_finder_litter(name):
            continue
        if info.isfile() and name in seen:
            raise InputError(f"{path} holds {name} twice", "", "pack each file once")
        seen.add(name)
        content = archive.extractfile(info) if info.isfile() else None
        yield name, info, content or io.BytesIO()


def _safe_name(path: Path, info: tarfile.TarInfo) -> str:
    """The member's path inside the archive, or a refusal."""
    what = f"{path} is refused"
    name = PurePosixPath(info.name)
    if name.is_absolute():
        raise InputError(what, f"member {info.name!r} has an absolute path", "pack relative paths")
    if ".." in name.parts:
        raise InputError(what, f"member {info.name!r} leads out of it", "pack without ..")
    if "\0" in info.name:
        raise InputError(what, f"member {info.name!r} has no valid name", "rename it")
    if not (info.isfile() or info.isdir()) or info.issparse():
        kind = "a link" if info.issym() or info.islnk() else "not a regular file"
        raise InputError(what, f"member {info.name!r} is {kind}", "pack files and folders only")
    return str(name)


def _is_finder_litter(name: str) -> bool:
    """What macOS adds to archives and nobody means to send."""
    base = PurePosixPath(name).name
    return base.startswith("._") or base == ".DS_Store"

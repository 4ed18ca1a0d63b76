"""Archives from users are hostile: regular files and folders only, within limits, or not at all.

Python's `data` filter alone is not enough: up to 3.11 it knows no limits, and links pass it.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
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
MAX_NAME_BYTES, MAX_PART_BYTES, MAX_DEPTH = 1024, 255, 32
MAX_META_BYTES = 1 << 16
"""Of a header that describes another: a long name, a pax record. It is read into memory whole."""
META_TYPES = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may unpack to."""

    max_bytes: int
    max_members: int
    max_ratio: float = 200.0
    """Unpacked over packed bytes, asked once 64 MiB are unpacked: small files may be regular."""


PAYLOAD_LIMITS = ArchiveLimits(max_bytes=2 * BYTES_PER_GIB, max_members=10_000)
MODEL_LIMITS = ArchiveLimits(max_bytes=20 * BYTES_PER_GIB, max_members=20_000)
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


def verify(path: Path, limits: ArchiveLimits = MODEL_LIMITS) -> None:
    """Read an archive to its end and keep nothing; raises InputError as `read_members` does."""
    with _members(path, limits) as found:
        files = sum(info.isfile() for _, info, _ in found)
    if not files:
        raise InputError(f"{path} holds no file", "", "put at least one file into it")


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
        # Folders take their modes from the umask; until here the outermost kept everyone out.
        for inside, _, _ in os.walk(folder):
            os.chmod(inside, 0o755)
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

    def __init__(
        self, path: Path, stream: gzip.GzipFile, packed_bytes: int, limits: ArchiveLimits
    ) -> None:
        self._path, self._stream, self._limits = path, stream, limits
        self._packed_bytes = max(1, packed_bytes)
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


class _StrictHeader(tarfile.TarInfo):
    """A header that ends the reading where it is broken: `tarfile` takes one for the archive's end,
    and files go missing without a word."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _StrictHeader:
        """As its parent's; ReadError also where `tarfile` trips over what a header describes."""
        try:
            return super().fromtarfile(archive)
        except (ValueError, RecursionError):  # sparse maps of no numbers; headers of headers
            raise tarfile.ReadError("a header that makes no sense") from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictHeader:
        """As its parent's; ReadError for a broken one, EOFError for none."""
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            raise EOFError from None
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error) or "broken header") from None
        if info.size < 0 or (info.type in META_TYPES and info.size > MAX_META_BYTES):
            raise tarfile.ReadError("a header of impossible size")
        return info


def _too_big(path: Path, limits: ArchiveLimits) -> InputError:
    why = f"it unpacks to over {limits.max_bytes / BYTES_PER_GIB:g} GiB"
    return InputError(f"{path} is refused", why, "make it smaller")


@contextmanager
def _members(
    path: Path, limits: ArchiveLimits
) -> Iterator[Iterator[tuple[str, tarfile.TarInfo, IO[bytes]]]]:
    """The checked members of an archive, one after the other; every failure as InputError."""
    packed_bytes = regular_file_bytes(path)
    if not packed_bytes:
        raise InputError(f"{path} is empty", "", "make or copy it again")
    try:
        with gzip.open(path, "rb") as stream:
            metered = _Metered(path, stream, packed_bytes, limits)
            with tarfile.open(
                fileobj=cast(IO[bytes], metered), mode="r|", tarinfo=_StrictHeader
            ) as archive:
                yield _checked(path, archive, limits)
            # The checksum comes last.
            while metered.read():
                pass
    except gzip.BadGzipFile:
        raise InputError(f"{path} is not gzip", "", "pack it with `tar -czf`") from None
    except EOFError:
        raise InputError(f"{path} is truncated", "", "make or copy it again") from None
    except (tarfile.TarError, zlib.error) as error:
        todo = "pack it with `tar -czf`"
        raise InputError(f"{path} is not a readable tar archive", str(error), todo) from None


def regular_file_bytes(path: Path) -> int:
    """The size of a file that can be read to its end.

    Raises:
        InputError: there is none: it is missing, a folder, a device, or not ours to read.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            path.open("rb").close()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "", "mend the path, or make the file") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"cannot read {path}", why, "mend the path or permissions") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path} is a folder", "", "pack it with `tar -czf`")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is not a regular file", "", "give the path of a file")
    return found.st_size


def _checked(
    path: Path, archive: tarfile.TarFile, limits: ArchiveLimits
) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes]]]:
    files: set[str] = set()
    folders: set[str] = set()
    total_bytes = count = 0
    for info in archive:
        # A tar stream keeps every header; 10^6 of them would be a bomb of their own.
        archive.members = []  # type: ignore[attr-defined]
        count += 1
        # A record for all members may set the size behind the header's back; no tar writes one.
        if info.size < 0 or "size" in archive.pax_headers:
            raise tarfile.ReadError("a header of impossible size")
        total_bytes += info.size
        if count > limits.max_members:
            why = f"it holds over {limits.max_members:,} members"
            raise InputError(f"{path} is refused", why, "pack fewer, larger files")
        if total_bytes > limits.max_bytes:
            raise _too_big(path, limits)
        name = _safe_name(path, info)
        if name in ("", ".") or _is_finder_litter(name):
            continue
        if info.isdir():
            inside, clash = name, False
        else:
            inside, clash = name.rpartition("/")[0], name in folders or name in files
            files.add(name)
        while inside and inside not in folders:
            clash = clash or inside in files
            folders.add(inside)
            inside = inside.rpartition("/")[0]
        if clash:
            raise InputError(f"{path} holds {name!r} twice", "", "pack each file once")
        content = archive.extractfile(info) if info.isfile() else None
        yield name, info, content or io.BytesIO()


def _safe_name(path: Path, info: tarfile.TarInfo) -> str:
    """The member's path inside the archive, or a refusal."""
    what = f"{path} is refused"
    name, shown = PurePosixPath(info.name), repr(info.name[:80])
    if name.is_absolute():
        raise InputError(what, f"member {shown} has an absolute path", "pack relative paths")
    if ".." in name.parts:
        raise InputError(what, f"member {shown} leads out of it", "pack without ..")
    if not _is_usable(name):
        raise InputError(what, f"member {shown} has no usable name", "rename it")
    if not (info.isfile() or info.isdir()) or info.issparse():
        kind = "a link" if info.issym() or info.islnk() else "not a regular file"
        raise InputError(what, f"member {shown} is {kind}", "pack files and folders only")
    return str(name)


def _is_usable(name: PurePosixPath) -> bool:
    """Whether files of this name can be made and shown."""
    try:
        sizes = [len(part.encode()) for part in name.parts]
    except UnicodeEncodeError:
        return False
    fits = len(sizes) <= MAX_DEPTH and sum(sizes) <= MAX_NAME_BYTES
    return fits and max(sizes, default=0) <= MAX_PART_BYTES and "\0" not in str(name)


def _is_finder_litter(name: str) -> bool:
    """What macOS adds to archives and nobody means to send."""
    base = PurePosixPath(name).name
    return base.startswith("._") or base == ".DS_Store"

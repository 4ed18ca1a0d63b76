"""Archives from users: whole, within limits and of plain files, or refused in one line."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import time
import zlib
from pathlib import Path

import pytest
from rightsizer import archives
from rightsizer.archives import (
    MODEL_LIMITS,
    PAYLOAD_LIMITS,
    ArchiveLimits,
    Member,
    extract,
    read_members,
)
from rightsizer.errors import EnvironmentFault, InputError

SMALL = ArchiveLimits(max_bytes=1 << 20, max_members=100)
END = bytes(1024)


def header(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, **more: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def member(name: str, body: bytes = b"", **more: object) -> bytes:
    return header(name, size=len(body), **more) + body + bytes(-len(body) % 512)


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


@pytest.fixture
def packed(tmp_path):
    """A .tar.gz of these blocks, written to a folder of its own."""
    folder = tmp_path / "given"
    folder.mkdir()

    def pack(*blocks: bytes, end: bytes = END) -> Path:
        path = folder / "a.tar.gz"
        path.write_bytes(gzip.compress(b"".join(blocks) + end, 1))
        return path

    return pack


@pytest.fixture
def raw(tmp_path):
    """A file of these bytes with an archive's name."""

    def write(data: bytes) -> Path:
        path = tmp_path / "raw.tar.gz"
        path.write_bytes(data)
        return path

    return write


def refusal(path: Path, tmp_path: Path, limits: ArchiveLimits = SMALL) -> str:
    """The one line it is refused with, by both ways of reading; nothing is left behind."""
    with pytest.raises(InputError) as read:
        read_members(path, limits)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    with pytest.raises(InputError) as extracted:
        extract(path, out / "model", limits)
    assert list(out.iterdir()) == []
    assert str(extracted.value) == str(read.value)
    assert str(read.value).startswith(str(path)) or str(path) in read.value.what
    assert "\n" not in str(read.value)
    assert read.value.todo
    return str(read.value)


# -- what is well ------------------------------------------------------------------------------


def test_every_regular_file_is_read_in_the_archives_order_with_its_bytes(packed):
    path = packed(
        member("./b.jpg", b"two"), member("a/", kind=tarfile.DIRTYPE), member("a/c.jpg", noise(900))
    )
    assert read_members(path, SMALL) == [Member("b.jpg", b"two"), Member("a/c.jpg", noise(900))]


def test_an_archive_made_by_the_tar_module_of_names_long_and_foreign_is_read(tmp_path):
    path = tmp_path / "a.tgz"
    names = ["ä/" + "n" * 150 + ".bin", "漢字.bin", "plain"]
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(path, "w:gz", format=form) as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))
        assert read_members(path, SMALL) == [Member(name, b"abc") for name in names]


def test_the_litter_of_a_macs_finder_is_left_out(packed):
    path = packed(member("a.jpg", b"x"), member("._a.jpg", b"junk"), member("d/.DS_Store", b"junk"))
    assert [found.name for found in read_members(path, SMALL)] == ["a.jpg"]


def test_what_is_extracted_is_what_was_packed(packed, tmp_path):
    big = noise(200_000)
    path = packed(
        member("./", kind=tarfile.DIRTYPE),
        member("model/1/saved_model.pb", big),
        member("empty/", kind=tarfile.DIRTYPE),
        member("code/inference.py", b"pass\n"),
    )
    extract(path, tmp_path / "model")
    found = {str(p.relative_to(tmp_path / "model")) for p in (tmp_path / "model").rglob("*")}
    files = {"model/1/saved_model.pb", "code/inference.py"}
    assert found == {"model", "model/1", "empty", "code", *files}
    assert (tmp_path / "model/model/1/saved_model.pb").read_bytes() == big
    assert sorted(os.listdir(tmp_path)) == ["given", "model", "runtime"]


def test_modes_keep_the_owners_execute_bit_and_nothing_else(packed, tmp_path):
    path = packed(
        member("d/", kind=tarfile.DIRTYPE, mode=0o000),
        member("d/run.sh", b"#!", mode=0o6777),
        member("d/secret", b"x", mode=0o000),
        member("d/wide", b"x", mode=0o666),
    )
    umask = os.umask(0o022)
    try:
        extract(path, tmp_path / "out")
    finally:
        os.umask(umask)
    modes = {p.name: p.stat().st_mode & 0o7777 for p in (tmp_path / "out").rglob("*")}
    assert modes == {"d": 0o755, "run.sh": 0o755, "secret": 0o644, "wide": 0o644}
    assert (tmp_path / "out").stat().st_mode & 0o7777 == 0o755


def test_folders_do_not_take_their_modes_from_a_careless_umask(packed, tmp_path):
    path = packed(member("d/", kind=tarfile.DIRTYPE, mode=0o700), member("d/e/f", b"x"))
    umask = os.umask(0)
    try:
        extract(path, tmp_path / "out")
    finally:
        os.umask(umask)
    folders = [tmp_path / "out", tmp_path / "out/d", tmp_path / "out/d/e"]
    assert [folder.stat().st_mode & 0o7777 for folder in folders] == [0o755] * 3


# -- files that are no archives ----------------------------------------------------------------


def test_a_missing_archive_is_named(tmp_path):
    assert "does not exist" in refusal(tmp_path / "no.tar.gz", tmp_path)


def test_a_folder_is_not_an_archive(tmp_path):
    (tmp_path / "f.tar.gz").mkdir()
    assert "is a folder" in refusal(tmp_path / "f.tar.gz", tmp_path)


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "p.tar.gz")
    assert "not a regular file" in refusal(tmp_path / "p.tar.gz", tmp_path)


def test_a_file_of_no_bytes_is_refused(raw, tmp_path):
    assert "is empty" in refusal(raw(b""), tmp_path)


def test_a_file_that_is_not_gzip_is_refused(raw, tmp_path):
    assert "is not gzip" in refusal(raw(member("a", b"x") + END), tmp_path)


def test_gzip_of_something_else_is_refused(raw, tmp_path):
    assert "not a readable tar archive" in refusal(raw(gzip.compress(noise(5000))), tmp_path)


def test_an_archive_of_no_files_is_refused(packed, tmp_path):
    path = packed(member("d/", kind=tarfile.DIRTYPE))
    assert refusal(path, tmp_path).endswith("holds no file; put at least one file into it")


def test_gzip_cut_anywhere_is_refused(packed, raw, tmp_path):
    whole = packed(member("a", noise(3000)), member("b", noise(2000))).read_bytes()
    for length in [*range(1, len(whole), 97), *range(len(whole) - 12, len(whole))]:
        said = refusal(raw(whole[:length]), tmp_path)
        assert "truncated" in said or "is not gzip" in said, length


def test_tar_cut_anywhere_inside_whole_gzip_is_refused(raw, tmp_path):
    whole = member("a", noise(700)) + member("b", noise(600))
    for length in range(100, len(whole) + 1, 92):
        said = refusal(raw(gzip.compress(whole[:length], 1)), tmp_path)
        assert "truncated" in said or "unexpected end of data" in said, length


def test_a_broken_header_in_the_middle_is_refused_rather_than_taken_for_the_end(packed, tmp_path):
    path = packed(member("a", b"x"), b"\xff" * 512, member("b", b"y"))
    assert "not a readable tar archive" in refusal(path, tmp_path)


def test_gzip_whose_checksum_does_not_fit_is_refused(packed, raw, tmp_path):
    whole = bytearray(packed(member("a", noise(3000))).read_bytes())
    whole[-6] ^= 1
    assert "CRC" in refusal(raw(bytes(whole)), tmp_path) or "is not gzip" in refusal(
        raw(bytes(whole)), tmp_path
    )


def test_an_archive_damaged_at_any_place_is_read_whole_or_refused(packed, raw):
    good = member("a", noise(700)) + member("b/c", b"x" * 600) + member("d/", kind=b"5") + END
    chance = random.Random(3)
    refused = 0
    for _ in range(400):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            names = {found.name for found in read_members(raw(gzip.compress(damaged, 1)), SMALL)}
        except InputError:
            refused += 1
        else:
            assert len(names) == 2
    assert refused > 100


# -- members that are no files of the archive --------------------------------------------------


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (member("/etc/passwd", b"x"), "'/etc/passwd' has an absolute path"),
        (member("//x", b"x"), "has an absolute path"),
        (member("../x", b"x"), "'../x' leads out of it"),
        (member("a/../../x", b"x"), "leads out of it"),
        (member("a/..", kind=tarfile.DIRTYPE), "leads out of it"),
        (header("s", kind=tarfile.SYMTYPE, linkname="/etc"), "'s' is a link"),
        (header("s", kind=tarfile.SYMTYPE, linkname="ok"), "'s' is a link"),
        (header("h", kind=tarfile.LNKTYPE, linkname="ok"), "'h' is a link"),
        (header("c", kind=tarfile.CHRTYPE), "'c' is not a regular file"),
        (header("b", kind=tarfile.BLKTYPE), "'b' is not a regular file"),
        (header("p", kind=tarfile.FIFOTYPE), "'p' is not a regular file"),
        (header("u", kind=b"Z"), "'u' is not a regular file"),
        (header("n" * 90 + "/" + "e" * 300), "has no usable name"),
        (header("a/" * 40 + "x"), "has no usable name"),
        (member("bad\udcff", b"x"), "has no usable name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_member_that_is_not_a_plain_file_inside_is_refused(packed, tmp_path, block, why):
    path = packed(member("ok", b"fine"), block)
    assert why in refusal(path, tmp_path)
    assert not (tmp_path / "x").exists()


def test_a_file_written_through_a_link_of_the_same_archive_does_not_arrive(packed, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    path = packed(
        header("l", kind=tarfile.SYMTYPE, linkname=str(target)), member("l/owned", b"bad")
    )
    refusal(path, tmp_path)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    "blocks",
    [
        (member("a", b"1"), member("a", b"2")),
        (member("a", b"1"), member("./a", b"2")),
        (member("d/a", b"1"), member("d//a", b"2")),
        (member("a", b"1"), member("a/b", b"2")),
        (member("a/b", b"1"), member("a", b"2")),
        (member("a", b"1"), member("a/", kind=tarfile.DIRTYPE)),
        (member("a/", kind=tarfile.DIRTYPE), member("a", b"1")),
    ],
)
def test_two_members_for_one_place_are_refused(packed, tmp_path, blocks):
    assert "twice; pack each file once" in refusal(packed(*blocks), tmp_path)


def test_a_folder_may_be_named_twice(packed, tmp_path):
    folder = member("d/", kind=tarfile.DIRTYPE)
    extract(packed(folder, member("d/a", b"x"), folder), tmp_path / "out")
    assert (tmp_path / "out/d/a").read_bytes() == b"x"


def test_a_header_of_a_negative_size_is_refused(packed, tmp_path):
    assert "impossible size" in refusal(packed(header("a", size=-512), member("b")), tmp_path)


def test_a_long_name_of_megabytes_is_refused_before_it_is_read(packed, tmp_path):
    name = header("././@LongLink", size=1 << 19, kind=tarfile.GNUTYPE_LONGNAME)
    path = packed(name, b"n" * (1 << 19), member("a", b"x"))
    assert "impossible size" in refusal(path, tmp_path)


def test_a_negative_size_in_a_pax_record_is_refused(tmp_path, packed):
    record = b"15 size=-10000\n"
    path = packed(
        header("pax", size=len(record), kind=tarfile.XHDTYPE),
        record + bytes(512 - len(record)),
        member("a", b"x" * 100),
        member("b", b"y"),
    )
    refusal(path, tmp_path)


def pax(kind: bytes, key: str, value: str) -> bytes:
    """A pax header of one record, which counts its own length."""
    record = f" {key}={value}\n"
    length = next(n for n in range(10_000) if len(str(n)) + len(record) == n)
    return member("pax", f"{length}{record}".encode(), kind=kind)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("GNU.sparse.map", "a,b"),
        ("GNU.sparse.realsize", "many"),
        ("GNU.sparse.size", "9" * 5000),
    ],
    ids=["map", "realsize", "digits"],
)
def test_a_sparse_record_of_no_numbers_is_refused(packed, tmp_path, kind, key, value):
    path = packed(pax(kind, key, value), member("a", b"x" * 600))
    assert "makes no sense" in refusal(path, tmp_path)


@pytest.mark.parametrize("size", ["3", "-5", "99999"])
def test_a_size_for_all_members_is_refused_rather_than_cutting_them(packed, tmp_path, size):
    path = packed(pax(tarfile.XGLTYPE, "size", size), member("a", b"x" * 600))
    assert "impossible size" in refusal(path, tmp_path)


@pytest.mark.parametrize(
    "link",
    [
        member("././@LongLink", b"n" * 100, kind=tarfile.GNUTYPE_LONGNAME),
        pax(tarfile.XHDTYPE, "comment", "x"),
        pax(tarfile.XGLTYPE, "comment", "x"),
    ],
    ids=["long name", "pax", "global pax"],
)
def test_thousands_of_headers_that_describe_one_another_are_refused(packed, tmp_path, link):
    assert "makes no sense" in refusal(packed(link * 3000, member("a", b"x")), tmp_path)


def test_a_refused_name_of_kilobytes_is_shown_shortened(packed, tmp_path):
    name = b"/" + b"n" * 60_000
    long_name = member("././@LongLink", name, kind=tarfile.GNUTYPE_LONGNAME)
    said = refusal(packed(long_name, member("a", b"x")), tmp_path)
    assert "has an absolute path" in said
    assert len(said) < 400 + len(str(tmp_path))


# -- bombs -------------------------------------------------------------------------------------


def test_a_million_members_are_refused_within_seconds(raw, tmp_path):
    thousand = gzip.compress(header("d", kind=tarfile.DIRTYPE) * 1000, 9)
    path = raw(thousand * 1000 + gzip.compress(END))
    began_s = time.perf_counter()
    limits = ArchiveLimits(PAYLOAD_LIMITS.max_bytes, max_members=5000)
    assert "over 5,000 members" in refusal(path, tmp_path, limits)
    assert time.perf_counter() - began_s < 10
    assert max(PAYLOAD_LIMITS.max_members, MODEL_LIMITS.max_members) <= 100_000


def test_as_many_members_as_the_limit_are_read(packed):
    path = packed(*(member(f"f{i}", b"x") for i in range(100)))
    assert len(read_members(path, SMALL)) == 100


def zeros(mib: int) -> bytes:
    """gzip of so many MiB of zeros, made of one MiB again and again."""
    return gzip.compress(bytes(1 << 20), 9) * mib


def test_a_bomb_by_ratio_is_refused_while_it_goes_off(raw, tmp_path):
    size = 1 << 30
    path = raw(gzip.compress(header("zeros", size=size)) + zeros(1024))
    said = refusal(path, tmp_path, ArchiveLimits(max_bytes=1 << 40, max_members=100))
    assert "unpacks to over 200 times its size" in said


def test_a_bomb_by_size_is_refused_by_its_header_alone(raw, tmp_path):
    path = raw(gzip.compress(header("big", size=1 << 21)))
    assert "unpacks to over" in refusal(path, tmp_path)


def test_many_files_within_the_limit_that_are_over_it_together_are_refused(packed, tmp_path):
    half = member("a", noise(600_000))
    path = packed(half, member("b", noise(600_000)))
    assert "unpacks to over" in refusal(path, tmp_path)


def test_a_bomb_behind_the_archives_end_is_refused(raw, tmp_path):
    path = raw(gzip.compress(member("a", b"x") + END) + zeros(100))
    assert "refused" in refusal(path, tmp_path)


def test_a_sparse_file_is_refused(packed, tmp_path):
    refusal(packed(member("ok", b"x"), header("s", kind=tarfile.GNUTYPE_SPARSE)), tmp_path)


# -- all or nothing ----------------------------------------------------------------------------


def test_a_folder_that_exists_is_not_touched(packed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("kept")
    with pytest.raises(EnvironmentFault, match="exists"):
        extract(packed(member("a", b"x")), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_folder_appears_only_when_all_of_it_is_there(packed, tmp_path, monkeypatch):
    seen = []
    copy = archives.shutil.copyfileobj

    def watching(content, file, size):
        seen.append((tmp_path / "out").exists())
        copy(content, file, size)

    monkeypatch.setattr(archives.shutil, "copyfileobj", watching)
    extract(packed(member("a", b"x"), member("b", b"y")), tmp_path / "out")
    assert seen == [False, False]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "b"]


def test_a_full_disk_is_this_machines_fault_and_leaves_nothing(packed, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(EnvironmentFault, match="No space left on device; free space"):
        extract(packed(member("a", b"x")), tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
def test_whatever_ends_an_extraction_leaves_nothing(packed, tmp_path, monkeypatch, fault):
    def broken(*args):
        raise fault

    monkeypatch.setattr(archives.shutil, "copyfileobj", broken)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises((EnvironmentFault, KeyboardInterrupt)):
        extract(packed(member("a", b"x")), tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == before


def test_extracting_where_there_is_no_folder_is_this_machines_fault(packed, tmp_path):
    with pytest.raises(EnvironmentFault, match="No such file"):
        extract(packed(member("a", b"x")), tmp_path / "none" / "out")


def test_deflate_that_is_broken_inside_is_refused(packed, raw, tmp_path):
    body = zlib.compressobj(wbits=31)
    whole = bytearray(body.compress(member("a", noise(5000)) + END) + body.flush())
    whole[2000:2100] = bytes(100)
    refusal(raw(bytes(whole)), tmp_path)

"""Request bodies: what an archive and its manifest give, and the order they are drawn in."""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from rightsizer.archives import ArchiveLimits
from rightsizer.errors import InputError, ProblemsError
from rightsizer.payloads import Payload, load_payloads, payload_sequence

JPEG = "application/x-image"
FILES = {"b.jpg": b"two", "a.jpg": b"one", "sub/c.json": b"{}"}


@pytest.fixture
def archive(tmp_path) -> Path:
    path = tmp_path / "images.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, body in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


@pytest.fixture
def described(archive):
    """The archive with a manifest of these lines beside it."""

    def write(text: str) -> Path:
        archive.with_name("images.manifest.yaml").write_text(text)
        return archive

    return write


def problems(path: Path) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load_payloads(path, JPEG)
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).splitlines()]


# -- archives and files ------------------------------------------------------------------------


def test_the_files_of_an_archive_come_sorted_by_name_with_the_jobs_content_type(archive):
    found = load_payloads(archive, JPEG)
    assert found.payloads == tuple(
        Payload(name, FILES[name], JPEG, 1.0) for name in ("a.jpg", "b.jpg", "sub/c.json")
    )
    assert found.weights == [1.0, 1.0, 1.0]
    assert found.total_bytes == 8
    assert found.digest == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_a_tgz_is_an_archive_too(archive, tmp_path):
    archive.rename(tmp_path / "images.tgz")
    assert len(load_payloads(tmp_path / "images.tgz", JPEG).payloads) == 3


def test_any_other_file_is_one_payload_as_it_is(tmp_path):
    path = tmp_path / "one.json"
    path.write_bytes(b'{"x": 1}')
    found = load_payloads(path, "application/json")
    assert found.payloads == (Payload("one.json", b'{"x": 1}', "application/json", 1.0),)
    assert found.digest == hashlib.sha256(b'{"x": 1}').hexdigest()


def test_a_file_that_is_missing_too_large_or_a_folder_is_refused(tmp_path):
    limits = ArchiveLimits(max_bytes=10, max_members=10)
    (tmp_path / "big.json").write_bytes(bytes(11))
    (tmp_path / "fits.json").write_bytes(bytes(10))
    assert load_payloads(tmp_path / "fits.json", JPEG, limits=limits).total_bytes == 10
    for name, why in (("none.json", "does not exist"), ("big.json", "over"), (".", "a folder")):
        with pytest.raises(InputError, match=why):
            load_payloads(tmp_path / name, JPEG, limits=limits)


def test_an_endless_device_is_refused_rather_than_read():
    with pytest.raises(InputError, match="not a regular file"):
        load_payloads(Path("/dev/zero"), JPEG)


def test_the_limits_of_archives_hold_for_payloads(archive):
    with pytest.raises(InputError, match="over 2 members"):
        load_payloads(archive, JPEG, limits=ArchiveLimits(max_bytes=1 << 20, max_members=2))


def test_bodies_are_left_out_of_what_a_payload_prints(archive):
    assert "one" not in repr(load_payloads(archive, JPEG))


# -- manifests ---------------------------------------------------------------------------------


def test_a_manifest_gives_weights_and_content_types_by_file(described):
    path = described(
        "files:\n"
        "  a.jpg: {weight: 3, bytes: 3, width: 10, height: 20}\n"
        "  sub/c.json: {weight: 0.5, content_type: application/json}\n"
    )
    found = load_payloads(path, JPEG).payloads
    assert [(p.name, p.weight, p.content_type) for p in found] == [
        ("a.jpg", 3.0, JPEG),
        ("b.jpg", 1.0, JPEG),
        ("sub/c.json", 0.5, "application/json"),
    ]


def test_a_sha256_is_held_to_in_either_case(described):
    digest = hashlib.sha256(b"one").hexdigest()
    for text in (digest, digest.upper()):
        path = described(f'files:\n  a.jpg: {{sha256: "{text}"}}\n')
        assert len(load_payloads(path, JPEG).payloads) == 3


def test_the_digest_changes_with_the_manifest(archive, described):
    bare = load_payloads(archive, JPEG).digest
    one = load_payloads(described("files: {a.jpg: {weight: 2}}\n"), JPEG).digest
    other = load_payloads(described("files: {a.jpg: {weight: 3}}\n"), JPEG).digest
    again = load_payloads(described("files: {a.jpg: {weight: 2}}\n"), JPEG).digest
    assert len({bare, one, other}) == 3
    assert again == one


def test_all_that_is_wrong_with_a_manifest_is_said_at_once_with_lines(described):
    path = described(
        "files:\n"
        "  a.jpg: {weight: 0}\n"
        "  b.jpg: {weight: -1}\n"
        "  sub/c.json: {weight: .nan, colour: red}\n"
        "title: mine\n"
    )
    assert problems(path) == [
        "images.manifest.yaml:2: files.a.jpg.weight: should be greater than 0, not 0",
        "images.manifest.yaml:3: files.b.jpg.weight: should be greater than 0, not -1",
        "images.manifest.yaml:4: files.sub/c.json.colour: "
        "unknown key; remove it or mend its spelling",
        "images.manifest.yaml:4: files.sub/c.json.weight: must be a finite number",
        "images.manifest.yaml:5: title: unknown key; remove it or mend its spelling",
    ]


def test_files_the_archive_has_not_and_other_contents_are_said_at_once(described):
    path = described(
        "files:\n  z.jpg: {}\n"
        f'  a.jpg: {{sha256: "{"0" * 64}"}}\n  A.JPG: {{weight: 2}}\n  b.jpg: {{weight: 1}}\n'
    )
    assert problems(path) == [
        "images.manifest.yaml:2: files.z.jpg: the archive has no such file; remove it",
        "images.manifest.yaml:3: files.a.jpg.sha256: "
        "the file in the archive is another one; make both again",
        "images.manifest.yaml:4: files.A.JPG: the archive has no such file; remove it",
    ]


@pytest.mark.parametrize("weight", [".inf", '"2"', "true", "heavy"])
def test_a_weight_that_is_no_finite_number_is_refused(described, weight):
    (line,) = problems(described(f"files: {{a.jpg: {{weight: {weight}}}}}\n"))
    assert line.startswith("images.manifest.yaml:1: files.a.jpg.weight: ")


@pytest.mark.parametrize("kind", ['"image/jpeg\\r\\nX-Mine: 1"', '""', "imäge/jpeg"])
def test_a_content_type_that_is_no_header_value_is_refused(described, kind):
    assert problems(described(f"files: {{a.jpg: {{content_type: {kind}}}}}\n")) == [
        "images.manifest.yaml:1: files.a.jpg.content_type: "
        "must be one line of plain ASCII, like image/jpeg"
    ]


def test_an_empty_sha256_fits_no_file(described):
    (line,) = problems(described('files: {a.jpg: {sha256: ""}}\n'))
    assert "another one" in line


@pytest.mark.parametrize("text", ["", "[]\n", "files: 3\n", "a: 1\n"])
def test_a_manifest_of_another_shape_is_refused(described, text):
    assert problems(described(text))


def test_a_manifest_that_is_not_yaml_is_refused(described):
    with pytest.raises(InputError, match="not YAML"):
        load_payloads(described("files: {\n"), JPEG)


# -- the order they are sent in ----------------------------------------------------------------


def drawn(weights: list[float], seed: int, stream: int, count: int) -> list[int]:
    return list(itertools.islice(payload_sequence(weights, seed, stream), count))


def test_a_sequence_is_a_value_of_its_weights_seed_and_stream():
    first = drawn([1, 2, 3], 7, 0, 9000)
    assert drawn([1, 2, 3], 7, 0, 9000) == first
    assert drawn([1, 2, 3], 8, 0, 9000) != first
    assert drawn([1, 2, 3], 7, 1, 9000) != first
    assert drawn([1, 2, 3], 7, 0, 100) == first[:100]


def test_a_sequence_stays_what_it_was_in_earlier_releases():
    assert drawn([1, 1, 1, 1], 7, 0, 16) == [2, 3, 3, 0, 1, 3, 0, 3, 3, 1, 1, 1, 1, 1, 2, 2]


def test_equal_weights_are_drawn_equally_often():
    counts = Counter(drawn([1.0] * 4, 7, 0, 40_000))
    # 40,000 fair draws of 4 stay within 5 standard deviations of 10,000 each.
    assert set(counts) == {0, 1, 2, 3}
    assert all(abs(count - 10_000) < 5 * 87 for count in counts.values())


def test_weights_are_shares_whatever_they_add_up_to():
    for scale in (1e-6, 1.0, 1e6):
        counts = Counter(drawn([1 * scale, 3 * scale, 6 * scale], 7, 0, 50_000))
        for index, share in ((0, 0.1), (1, 0.3), (2, 0.6)):
            assert counts[index] / 50_000 == pytest.approx(share, abs=0.011)


def test_weights_of_no_finite_sum_are_shares_too():
    assert drawn([1e308] * 4, 7, 0, 5000) == drawn([1.0] * 4, 7, 0, 5000)


def test_neither_draws_nor_streams_follow_one_another():
    a, b = drawn([1, 1], 7, 0, 20_000), drawn([1, 1], 7, 1, 20_000)
    for left, right in ((a[:-1], a[1:]), (a, b)):
        same = sum(x == y for x, y in zip(left, right, strict=True))
        assert abs(same - 10_000) < 5 * 71


def test_one_payload_is_all_there_is():
    assert set(drawn([0.25], 1, 0, 5000)) == {0}


def test_draws_are_plain_integers_and_cheap():
    sequence = payload_sequence([1, 2], 1, 0)
    assert type(next(sequence)) is int

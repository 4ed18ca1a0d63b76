"""A child's output on disk: bounded, and without the values of secrets."""

from __future__ import annotations

import itertools

import pytest
from rightsizer.hosts import logs
from rightsizer.hosts.logs import BoundedLog, tail

SECRET = b"hunter2-hunter3"


@pytest.fixture
def written(tmp_path):
    """What stands in a log after these writes."""

    def write(*parts: bytes, secrets: tuple[bytes, ...] = (SECRET,)) -> bytes:
        path = tmp_path / "server.log"
        log = BoundedLog(path, secrets)
        for part in parts:
            log.write(part)
        log.close()
        return path.read_bytes()

    return write


def splits(data: bytes, parts: int):
    for cuts in itertools.combinations(range(len(data) + 1), parts - 1):
        edges = [0, *cuts, len(data)]
        yield [data[a:b] for a, b in itertools.pairwise(edges)]


def test_output_is_kept_as_it_came(written):
    assert written(b"one\n", b"", b"two\xff\n") == b"one\ntwo\xff\n"


def test_a_secret_is_masked_wherever_its_writes_are_split(written):
    data = b"a" + SECRET + b"b"
    for parts in splits(data, 3):
        assert written(*parts) == b"a***b", parts


def test_a_secret_that_comes_a_byte_at_a_time_is_masked(written):
    data = b"<" + SECRET + b">\n<" + SECRET + b">"
    assert written(*(data[i : i + 1] for i in range(len(data)))) == b"<***>\n<***>"


def test_what_only_begins_like_a_secret_is_kept(written):
    for length in range(len(SECRET)):
        for parts in splits(b"x" + SECRET[:length] + b"!", 2):
            assert written(*parts) == b"x" + SECRET[:length] + b"!"
        assert written(SECRET[:length]) == SECRET[:length]


@pytest.mark.parametrize(
    ("secrets", "data", "kept"),
    [
        ((b"abc", b"abcdef"), b"-abcdef-abc-abcd-", b"-***-***-***d-"),
        ((b"abcdef", b"abc"), b"-abcdef-abc-abcd-", b"-***-***-***d-"),
        ((b"cde", b"abcdef"), b"-abcdef-cde-", b"-***-***-"),
        ((b"abab",), b"-ababab-abab-", b"-***-***-"),
        ((b"abc", b"cde"), b"-abcde-cdabc-", b"-***-cd***-"),
        ((b"aa",), b"-aaaaaaaaaa-a-", b"-***-a-"),
        ((b"***",), b"-***-", b"-***-"),
        ((b"",), b"-x-", b"-x-"),
    ],
)
def test_secrets_that_hold_or_overlap_one_another_leave_nothing_behind(
    written, secrets, data, kept
):
    for count in (1, 2, 3):
        for parts in splits(data, count):
            assert written(*parts, secrets=secrets) == kept, parts


def test_a_secret_of_several_lines_is_masked(written):
    assert written(b"key: -----B", b"EGIN\nabc\n-----END", secrets=(b"-BEGIN\nabc\n-",)) == (
        b"key: ----***----END"
    )


def test_a_log_never_takes_more_than_two_files_of_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 10_000)
    log = BoundedLog(tmp_path / "server.log")
    for i in range(5000):
        log.write(b"%06d " % i + b"x" * 92 + b"\n")
        if i % 100 == 0:
            sizes = [p.stat().st_size for p in tmp_path.glob("server.log*")]
            assert len(sizes) <= 2
            assert max(sizes) <= 10_100
    log.close()
    lines = tail(tmp_path / "server.log", 60).splitlines()
    assert [int(line[:6]) for line in lines] == list(range(4940, 5000))


def test_no_more_is_held_back_than_may_become_a_secret(tmp_path):
    log = BoundedLog(tmp_path / "server.log", [b"a" * 100])
    for count in range(1, 20):
        log.write(b"ab" * 500)
        assert (tmp_path / "server.log").stat().st_size == 1000 * count
    log.write(b"a" * 99)
    assert (tmp_path / "server.log").stat().st_size == 19_000
    log.write(b"b")
    assert (tmp_path / "server.log").stat().st_size == 19_100
    log.close()


def test_secrets_of_the_same_text_are_one(written):
    assert written(b"-abc-", secrets=(b"abc", b"abc")) == b"-***-"


def test_an_earlier_trials_output_does_not_show_in_a_new_log(tmp_path):
    (tmp_path / "server.log").write_bytes(b"old\n")
    (tmp_path / "server.log.1").write_bytes(b"older\n")
    log = BoundedLog(tmp_path / "server.log")
    log.write(b"new\n")
    log.close()
    assert tail(tmp_path / "server.log", 10) == "new"


def test_a_full_disk_ends_the_log_and_not_the_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 10)
    log = BoundedLog(tmp_path / "server.log")
    log.write(b"before\n")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    for _ in range(3):
        log.write(b"more than ten bytes\n")
    log.close()
    assert tail(tmp_path / "server.log", 9).splitlines()[0] == "before"


def test_the_tail_of_a_log_that_is_not_there_is_empty(tmp_path):
    assert tail(tmp_path / "none.log", 5) == ""


def test_a_tail_survives_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.log").write_bytes(b"one\n\xff\xfe two\n")
    assert tail(tmp_path / "a.log", 1) == "�� two"

"""The sample record: what the generator packs is what the analysis reads."""

from __future__ import annotations

import numpy as np
from rightsizer.samples import DTYPE, FAILURES, RECORD, Outcome, read_samples

# Every value differs, and each uses the whole width of its field.
FIELDS = {
    "intended_ns": -(2**63) + 1,
    "start_ns": 2**63 - 2,
    "sent_ns": 3_000_000_000_003,
    "first_byte_ns": 4_000_000_000_004,
    "end_ns": 5_000_000_000_005,
    "bytes_out": 2**32 - 6,
    "bytes_in": 2**32 - 7,
    "user": 2**32 - 8,
    "payload": 2**16 - 9,
    "step": 2**16 - 10,
    "status": 599,
    "outcome": int(Outcome.DROPPED),
}


def packed(**changes: int) -> bytes:
    return RECORD.pack(*{**FIELDS, **changes}.values())


def test_a_record_is_64_bytes():
    assert len(packed()) == RECORD.size == DTYPE.itemsize == 64


def test_the_struct_and_the_dtype_agree_field_by_field(tmp_path):
    path = tmp_path / "samples.bin"
    path.write_bytes(packed())
    (sample,) = read_samples([path])
    assert {name: int(sample[name]) for name in FIELDS} == FIELDS
    assert set(DTYPE.names) == {*FIELDS, "pad"}


def test_the_record_is_little_endian_and_packed_from_its_first_byte():
    assert packed(intended_ns=1)[:8] == b"\x01" + b"\x00" * 7
    # 40 bytes of times, 12 of sizes and user, 6 of payload, step and status; then the outcome
    assert packed(outcome=6)[58] == 6
    assert packed()[59:] == b"\x00" * 5


def test_a_record_cut_short_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "samples.bin"
    path.write_bytes(packed(user=1) + packed(user=2) + packed(user=3)[:63])
    assert read_samples([path])["user"].tolist() == [1, 2]


def test_files_are_read_one_after_the_other(tmp_path):
    first, empty, second = (tmp_path / name for name in ("a", "b", "c"))
    first.write_bytes(packed(user=1))
    empty.write_bytes(b"")
    second.write_bytes(packed(user=2) + packed(user=3))
    assert read_samples([second, empty, first])["user"].tolist() == [2, 3, 1]


def test_no_files_are_no_samples_of_the_same_type():
    none = read_samples([])
    assert len(none) == 0
    assert none.dtype == DTYPE


def test_timeouts_unfinished_and_dropped_attempts_are_not_among_the_failures():
    others = set(Outcome) - set(FAILURES)
    assert others == {
        Outcome.SUCCEEDED,
        Outcome.TIMED_OUT,
        Outcome.UNFINISHED,
        Outcome.DROPPED,
    }


def test_every_outcome_fits_its_byte():
    assert sorted(Outcome) == list(range(9))
    assert np.iinfo(DTYPE["outcome"]).max >= max(Outcome)

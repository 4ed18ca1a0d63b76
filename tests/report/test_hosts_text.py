"""What `rightsizer hosts` prints."""

from __future__ import annotations

import json

import pytest
from rightsizer.accelerators import Accelerator
from rightsizer.offers import Fit, HostOffer
from rightsizer.report.hosts_text import hosts_document, hosts_text
from rightsizer.units import BYTES_PER_GIB

from .jobs import assert_golden

OTHER = "another machine; the hosts file can declare a stand-in"
HERE = HostOffer(
    name="here",
    kind="process",
    address=None,
    processor="AMD EPYC 7R32",
    architecture="x86_64",
    cpu_count=8,
    cores=((0, 4), (1, 5), (2, 6), (3, 7)),
    memory_bytes=32 * BYTES_PER_GIB,
    server_cpus=(1, 2, 3, 5, 6, 7),
    generator_cpus=(0, 4),
    accelerators=(Accelerator("nvidia", "GPU-11111111", "Tesla T4", 15 * BYTES_PER_GIB),),
    accelerators_missing=("neuron-ls -j printed 'x'; mend the driver, or remove the tool",),
    leased={"CPU 1": "job demo-1a2b3c4d (process 7)"},
    types=(
        Fit("local.1cpu", "native"),
        Fit("local.7cpu", "native", co_located=True),
        Fit("ml.c5a.xlarge", "emulated"),
        *(
            Fit(f"ml.c5.{n}xlarge", None, why_not=f"ml.c5.{n}xlarge is ...", cause=OTHER)
            for n in range(2, 7)
        ),
        Fit("local.8cpu", None, why_not="local.8cpu needs 8 CPUs and 7 may be used", cause="CPUs"),
    ),
)
FAR = HostOffer(
    name="rack1",
    kind="docker",
    address="ssh://ops@rack1",
    engine_version="20.10.24",
    system="Debian GNU/Linux 12 (bookworm), cgroup v1",
    architecture="x86_64",
    cpu_count=16,
    memory_bytes=64 * BYTES_PER_GIB,
    server_cpus=tuple(range(16)),
    generator_cpus=(0, 4),
    images={"a:1": None, "b:1": "image b:1 is not on host rack1; `docker pull b:1` gets it"},
    round_trip_s=0.0123,
    clock_offset_s=-2.5,
    clock_error_s=0.006,
    types=(Fit("local.1cpu", "native"),),
)
DOWN = HostOffer("down", "docker", "unix:///d.sock", ("host down: nobody answers; start Docker",))
OFFERS = (HERE, FAR, DOWN)


@pytest.mark.parametrize("width", [80, 120, None])
def test_hosts_read_as_the_golden_ones(width):
    assert_golden(f"hosts_{width or 'plain'}.txt", hosts_text(OFFERS, width) + "\n")


def test_where_there_is_no_terminal_each_entry_is_one_line():
    lines = hosts_text(OFFERS, None).splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "here: process, this machine:",
        "",
        "rack1: docker at ssh://ops@rack1:",
        "",
        "down: docker at unix:///d.sock:",
    ]
    assert "  problem: host down: nobody answers; start Docker" in lines


def test_accelerators_come_with_the_word_that_none_was_ever_tried():
    assert "untried: no GPU or Inferentia chip has ever run" in hosts_text([HERE], None)
    assert "untried" not in hosts_text([FAR], None)


def test_the_document_has_every_type_and_is_json():
    document = hosts_document(OFFERS)
    assert document["schema"] == "rightsizer/hosts/1"
    here, far, down = json.loads(json.dumps(document))["hosts"]
    assert len(here["types"]) == 9
    assert here["accelerators"][0]["id"] == "GPU-11111111"
    assert (far["cores"], far["clock_offset_s"]) == (None, -2.5)
    assert down["problems"] == ["host down: nobody answers; start Docker"]

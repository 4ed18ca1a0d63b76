"""The demo's payload: the promised images, the same bytes every time, in whole files only."""

from __future__ import annotations

import importlib.util
import io
import itertools
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image, JpegImagePlugin
from rightsizer.payloads import load_payloads
from ruamel.yaml import YAML

SCRIPT = Path(__file__).parents[2] / "payloads" / "make_images.py"
PROMISED_BYTES = {
    (4000, 3000): 2_105_000,
    (1600, 1200): 245_000,
    (1920, 1280): 321_000,
    (2400, 1600): 562_000,
}
YUV_420 = 2
"""As Pillow numbers it."""


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_images", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


make_images = script()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as the command makes it, once; nothing else lies in its folder."""
    out = tmp_path_factory.mktemp("made") / "new" / "images.tar.gz"
    assert make_images.main(["--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def bodies(made: Path) -> dict[tuple[int, int], bytes]:
    found = {}
    for payload in load_payloads(made, "application/x-image").payloads:
        with Image.open(io.BytesIO(payload.body)) as image:
            found[image.size] = payload.body
    return found


def test_the_four_images_have_the_promised_dimensions_and_sizes(bodies):
    assert bodies.keys() == PROMISED_BYTES.keys()
    for dimensions, body in bodies.items():
        assert len(body) == pytest.approx(PROMISED_BYTES[dimensions], rel=0.05)


def test_each_is_a_whole_baseline_jpeg_with_halved_colour(bodies):
    for body in bodies.values():
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert "progressive" not in image.info
            assert JpegImagePlugin.get_sampling(image) == YUV_420


def test_no_part_of_an_image_is_flat(bodies):
    """A flat part would decode for nothing, as no photograph does."""
    for width, height in bodies:
        with Image.open(io.BytesIO(bodies[width, height])) as image:
            grey = image.convert("L")
        across, down = range(0, width, width // 8), range(0, height, height // 8)
        for left, top in itertools.product(across, down):
            low, high = grey.crop((left, top, left + width // 8, top + height // 8)).getextrema()
            assert high - low > 10


def test_an_image_is_the_same_bytes_whenever_it_is_made(bodies):
    small = next(wanted for wanted in make_images.WANTED if wanted.width == 1600)
    assert make_images.make_image(small) == bodies[1600, 1200]


def test_an_archive_of_the_same_images_is_the_same_bytes(made, tmp_path):
    with tarfile.open(made) as archive:
        members = archive.getmembers()
        images = [(info.name, archive.extractfile(info).read()) for info in members]
    make_images.pack(images, tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == made.read_bytes()
    assert made.read_bytes()[4:8] == bytes(4), "the time in gzip's header"
    for info in members:
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
        assert info.isfile()
        assert "/" not in info.name


def test_the_manifest_fits_the_archive_and_leaves_the_content_type_to_the_job(made):
    found = load_payloads(made, "application/x-image")  # holds the files to their sha256
    assert {payload.content_type for payload in found.payloads} == {"application/x-image"}
    assert found.weights == [1.0] * 4
    described = YAML(typ="safe").load(made.with_name("images.manifest.yaml"))["files"]
    for payload in found.payloads:
        with Image.open(io.BytesIO(payload.body)) as image:
            said = described[payload.name]
            assert (said["width"], said["height"]) == image.size
            assert said["bytes"] == len(payload.body)
            assert len(said["sha256"]) == 64


def test_nothing_but_the_archive_and_its_manifest_is_written(made):
    assert {path.name for path in made.parent.iterdir()} == {
        "images.tar.gz",
        "images.manifest.yaml",
    }


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "images.tar.gz"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        make_images.write_whole(path, b"new")
    assert [found.name for found in tmp_path.glob("*images*")] == ["images.tar.gz"]
    assert path.read_bytes() == b"old"


def test_a_name_that_is_no_archive_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        make_images.main(["--out", str(tmp_path / "images.zip")])
    assert ended.value.code == 2
    assert "--out must end in .tar.gz" in capsys.readouterr().err

"""Makes the demo's payload: four photograph-like JPEGs in a flat .tar.gz, and its manifest.

    python payloads/make_images.py --out payloads/images.tar.gz

Deterministic, nothing downloaded. Each image is a smooth scene under a texture whose amplitudes
fall with frequency as a photograph's do; the texture's strength is bisected until the file has
the wanted size, so that decoding costs what a photograph of that size costs.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float32]

QUALITY = 85
TOLERANCE_RATIO = 0.01
SUFFIX = ".tar.gz"


@dataclass(frozen=True)
class Wanted:
    """One image: its size in pixels, and of its file in bytes."""

    width: int
    height: int
    size_bytes: int

    @property
    def name(self) -> str:
        """`4000x3000.jpg`."""
        return f"{self.width}x{self.height}.jpg"


WANTED = (
    Wanted(4000, 3000, 2_105_000),
    Wanted(1600, 1200, 245_000),
    Wanted(1920, 1280, 321_000),
    Wanted(2400, 1600, 562_000),
)


def scene(wanted: Wanted, random: np.random.Generator) -> tuple[Pixels, Pixels]:
    """A smooth coloured scene, (height, width, 3) in 0..255, and a texture of mean 0 and sd 1.

    The texture is noise whose amplitude falls as 1 / frequency, as natural images' does (Field,
    Relations between the statistics of natural images, 1987).
    """
    height, width = wanted.height, wanted.width
    coarse = random.uniform(40, 215, (5, 7, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    spectrum = np.fft.rfft2(random.standard_normal((height, width), dtype=np.float32))
    rows = np.fft.fftfreq(height)[:, None]
    columns = np.fft.rfftfreq(width)[None, :]
    frequency = np.sqrt(rows**2 + columns**2)
    frequency[0, 0] = np.inf
    texture = np.fft.irfft2(spectrum / frequency, s=(height, width))
    texture = (texture / texture.std()).astype(np.float32)
    return np.asarray(smooth, dtype=np.float32), texture


def encode(smooth: Pixels, texture: Pixels, strength: float) -> bytes:
    """The scene under `strength` grey levels (sd) of texture, as a baseline JPEG."""
    pixels = np.clip(smooth + strength * texture[:, :, None], 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return buffer.getvalue()


def make_image(wanted: Wanted) -> bytes:
    """The JPEG whose file is nearest to the wanted size, within one percent."""
    random = np.random.default_rng([wanted.width, wanted.height])
    smooth, texture = scene(wanted, random)
    low, high = 0.0, 120.0
    while True:
        strength = (low + high) / 2
        data = encode(smooth, texture, strength)
        if abs(len(data) / wanted.size_bytes - 1) <= TOLERANCE_RATIO:
            return data
        if high - low < 0.01:
            raise RuntimeError(f"{wanted.name} cannot reach {wanted.size_bytes} bytes")
        low, high = (strength, high) if len(data) < wanted.size_bytes else (low, strength)


def pack(images: Sequence[tuple[str, bytes]], out: Path) -> None:
    """A flat .tar.gz, the same bytes for the same images; in place only when whole."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=1, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name, data in images:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    write_whole(out, buffer.getvalue())


def manifest(images: Sequence[tuple[str, bytes]]) -> str:
    """What lies in the archive; weights are those the engine draws with."""
    lines = ["# Made by payloads/make_images.py.", "files:"]
    for (name, data), wanted in zip(images, WANTED, strict=True):
        lines += [
            f"  {name}:",
            "    weight: 1.0",
            f"    width: {wanted.width}",
            f"    height: {wanted.height}",
            f"    bytes: {len(data)}",
            f"    sha256: {hashlib.sha256(data).hexdigest()}",
        ]
    return "\n".join(lines) + "\n"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str]) -> int:
    """Make the archive and its manifest."""
    parser = argparse.ArgumentParser(description="Make the demo's JPEG payload.")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.tar.gz")
    out: Path = parser.parse_args(arguments).out
    if not out.name.endswith(SUFFIX):
        parser.error(f"--out must end in {SUFFIX}")
    images = [(wanted.name, make_image(wanted)) for wanted in WANTED]
    # The manifest first: an archive is never beside an older manifest that contradicts it.
    beside = out.with_name(out.name.removesuffix(SUFFIX) + ".manifest.yaml")
    write_whole(beside, manifest(images).encode())
    pack(images, out)
    total_kb = sum(len(data) for _, data in images) / 1000
    print(f"{out}: {len(images)} images, {total_kb:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

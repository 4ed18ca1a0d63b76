"""Samples of several generator processes into one file, as far as each has committed them.

So whoever reads samples knows nothing of workers: one file, and a number of samples in it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from rightsizer.errors import EnvironmentFault
from rightsizer.samples import RECORD

CHUNK_BYTES = 1 << 20


class Gathering:
    """Appends what is new in each part to the whole; with one part, that is the whole."""

    def __init__(self, whole: Path, parts: int) -> None:
        self.whole = whole
        self.parts = [whole]
        if parts > 1:
            self.parts = [whole.with_name(f"{whole.stem}-part-{i}.bin") for i in range(parts)]
        self._taken = [0] * parts

    @property
    def committed(self) -> int:
        """Samples in the whole."""
        return sum(self._taken)

    def take(self, part: int, committed: int) -> None:
        """A part's process says that so many samples are in its file.

        Raises:
            EnvironmentFault: the disk does not take them.
        """
        before, self._taken[part] = self._taken[part], max(committed, self._taken[part])
        if len(self.parts) == 1:
            return
        missing = (self._taken[part] - before) * RECORD.size
        try:
            with self.parts[part].open("rb") as source, self.whole.open("ab") as whole:
                source.seek(before * RECORD.size)
                while missing:
                    data = source.read(min(CHUNK_BYTES, missing))
                    if not data:
                        raise OSError(f"{self.parts[part]} is shorter than its process said")
                    whole.write(data)
                    missing -= len(data)
        except OSError as error:
            why = error.strerror or str(error)
            raise EnvironmentFault("the samples cannot be gathered", why, "free space") from None

    def clean(self) -> None:
        """Remove the parts; the whole stays."""
        for part in self.parts:
            if part != self.whole:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)

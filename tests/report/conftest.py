"""Text without colours: what rich draws must not depend on who runs the tests."""

import pytest


@pytest.fixture(autouse=True)
def no_styles(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    for name in ("FORCE_COLOR", "NO_COLOR", "COLORTERM", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)

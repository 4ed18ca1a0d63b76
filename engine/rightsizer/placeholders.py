"""The words in braces that a server's command may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping

KNOWN = ("python", "port", "model_dir")

_TOKEN = re.compile(r"(\{\{|\}\}|\{[^{}]*\})")
"""A literal brace, written twice, or a name in braces; read from the left."""


def names_in(text: str) -> list[str]:
    """The names in braces of a command's word; `{{` and `}}` are literal braces."""
    return [token[1:-1] for token in _TOKEN.findall(text) if token not in ("{{", "}}")]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values for the placeholders of one word of a command."""
    parts = _TOKEN.split(text)
    literal = {"{{": "{", "}}": "}"}
    return "".join(
        literal.get(part) or (values[part[1:-1]] if part[:1] == "{" and part[-1:] == "}" else part)
        for part in parts
    )

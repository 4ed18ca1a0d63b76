"""Which values are told nobody, by what they are called."""

SECRET_WORDS = (
    "auth",
    "cookie",
    "credential",
    "key",
    "pass",
    "secret",
    "session",
    "signature",
    "token",
)
"""A header or variable whose name holds one of these has a value that is told nobody."""
HIDDEN = "***"
"""What is told in its place."""


def says_secret(name: str) -> bool:
    """Whether the name of a header or variable says that its value is to be kept."""
    return any(word in name.lower() for word in SECRET_WORDS)

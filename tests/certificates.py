"""Certificates of an authority made for a test."""

from __future__ import annotations

import subprocess
from pathlib import Path


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path, address: str = "127.0.0.1") -> Path:
    """ca.pem, and by it server.pem and client.pem for the address, each with its .key."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem",
            "-subj", "/CN=a test's authority")  # fmt: skip
    for name in ("server", "client"):
        openssl(folder, "req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address}", "-CA", "ca.pem",
                "-CAkey", "ca.key")  # fmt: skip
    return folder

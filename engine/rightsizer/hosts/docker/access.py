"""What keeps this machine from an engine elsewhere, said before the SDK runs into it: it asks no
questions at a terminal, and names the file or the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from rightsizer.hosts.trust import Tls, trust_of

CONNECT_S = 10
LOGIN_S = 20.0


def access_problem(address: str, tls: Tls | None) -> str | None:
    """What keeps this machine from asking the engine at an address; None if nothing does."""
    if address.startswith("ssh:"):
        return ssh_problem(address)
    return None if tls is None else tls_problem(tls)


def tls_problem(tls: Tls) -> str | None:
    """What is wrong with the files of a tcp:// address; None if nothing is."""
    for key, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        if path is not None and not Path(path).is_file():
            return f"tls.{key}: there is no file {path}; mend the path in the hosts file"
    try:
        trust_of(tls)
    except OSError as error:
        why = error.strerror or str(error)
        return f"tls: {tls.ca}, {tls.cert} and {tls.key} cannot be used: {why}; give PEM files"
    return None


def ssh_problem(address: str) -> str | None:
    """Why nobody can log in at an ssh:// address without being asked anything; None if one can."""
    if shutil.which("ssh") is None:
        return "there is no ssh program here; install OpenSSH's client"
    parts = urlsplit(address)
    login = ["-l", parts.username] if parts.username else []
    port = ["-p", str(parts.port)] if parts.port else []
    ask_nothing = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"]
    name = parts.hostname or ""
    try:
        done = subprocess.run(
            ["ssh", *ask_nothing, *login, *port, "--", name, "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LOGIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"ssh to {name} took over {LOGIN_S:g} s; look at that machine"
    if done.returncode == 0:
        return None
    lines = [line.strip().rstrip(".") for line in done.stderr.splitlines() if line.strip()]
    said = lines[-1] if lines else f"exit code {done.returncode}"
    by_hand = " ".join(["ssh", *login, *port, name])
    if "Host key verification failed" in said:
        return f"{name} is not in known_hosts, or has another key; `{by_hand}` once, and check it"
    return f"ssh to {name} failed: {said}; `{by_hand}` must work without a question"

"""An engine to be killed: FOLDER, MOMENT and its server's words. It tells when it is there."""

import sys
import time
from pathlib import Path

from rightsizer.hosts.owner import GuardedOwner
from rightsizer.hosts.process import ProcessHost
from rightsizer.inventory import THIS_MACHINE

from tests.hosts.processes import SERVER, SERVER_CPU, launch_of

folder, moment, words = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]


def tell(now):
    if now == moment:
        print(now, flush=True)
        if now != "ending":
            time.sleep(600)


if moment == "spawned":
    with GuardedOwner([SERVER_CPU]) as owner:
        owner.spawn(
            "server",
            [sys.executable, str(SERVER), "0", *words],
            environment={"PIDS": str(folder / "pids")},
            working_dir=folder,
            cpus=[SERVER_CPU],
            log=folder / "server.log",
        )
        tell("spawned")

ticks = []


def tick():
    ticks.append(1)
    if (folder / "pids").exists() and len((folder / "pids").read_text().split()) >= 6:
        tell("loading")


with ProcessHost(THIS_MACHINE).start(launch_of(folder, *words), tick):
    tell("ready")
    tell("ending")

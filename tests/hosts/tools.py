"""Vendors' tools that are not here: programs that print what the real ones are documented to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

T4 = "GPU-11111111-aaaa-4bbb-8ccc-000000000001"
A100 = "GPU-11111111-aaaa-4bbb-8ccc-000000000002"
SLICES = (
    "MIG-22222222-aaaa-4bbb-8ccc-000000000001",
    "MIG-22222222-aaaa-4bbb-8ccc-000000000002",
)

ONE_T4 = (f"GPU 0: Tesla T4 (UUID: {T4})\n", f"{T4}, Tesla T4, 15360, [N/A]\n")
T4_AND_SLICED_A100 = (
    f"GPU 0: Tesla T4 (UUID: {T4})\n"
    f"GPU 1: NVIDIA A100-SXM4-40GB (UUID: {A100})\n"
    f"  MIG 1g.5gb      Device  0: (UUID: {SLICES[0]})\n"
    f"  MIG 2g.10gb     Device  1: (UUID: {SLICES[1]})\n",
    f"{T4}, Tesla T4, 15360, [N/A]\n{A100}, NVIDIA A100-SXM4-40GB, 40960, Enabled\n",
)
"""`nvidia-smi -L`, and the table of the probe's query."""

NVIDIA_SMI = """\
#!/bin/sh
PATH=/usr/bin:/bin
case "$*" in
  -L) cat {folder}/listing ;;
  *utilization.gpu*--loop=1*) while :; do cat {folder}/busy; sleep 0.2; done ;;
  *uuid,name,memory.total,mig.mode.current*csv,noheader,nounits*) cat {folder}/table ;;
  *) echo "Invalid combination of input arguments."; exit 1 ;;
esac
"""


def put_nvidia_smi(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[str, str] = ONE_T4, busy: str = ""
) -> None:
    """A machine with these GPUs, as far as `nvidia-smi` tells; `busy`: a second of its loop."""
    tools = _on_path(folder, monkeypatch)
    for name, text in zip(("listing", "table", "busy"), (*said, busy), strict=True):
        (tools / name).write_text(text)
    _program(tools / "nvidia-smi", NVIDIA_SMI.format(folder=tools))


def put_program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Any other program."""
    text = f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n"
    _program(_on_path(folder, monkeypatch) / name, text)


def neuron_chip(number: int, cores: int = 4, gib: int = 8, **more: object) -> dict[str, object]:
    """A chip of `neuron-ls -j`; an Inferentia unless told otherwise."""
    return {
        "neuron_device": number,
        "bdf": f"0000:00:{0x1C + number:x}.0",
        "connected_to": None,
        "nc_count": cores,
        "memory_size": gib << 30,
        "neuron_processes": [],
        **more,
    }


def neuron_monitor_line(busy_percent: dict[int, float], used_bytes: int) -> str:
    """A report of `neuron-monitor`, of one runtime process."""
    counters = {str(core): {"neuroncore_utilization": busy} for core, busy in busy_percent.items()}
    report = {
        "neuroncore_counters": {"period": 1.0, "neuroncores_in_use": counters, "error": ""},
        "memory_used": {
            "period": 1.0,
            "neuron_runtime_used_bytes": {"host": 1, "neuron_device": used_bytes},
            "error": "",
        },
    }
    data = {"pid": 1, "neuron_runtime_tag": "1", "error": "", "report": report}
    return json.dumps({"neuron_runtime_data": [data], "system_data": {}})


def _on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tools = folder / "tools"
    if not tools.exists():
        tools.mkdir()
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tools


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)

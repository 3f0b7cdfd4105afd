"""Which device to compute on, and how to describe it beside a result."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from atlpa.errors import UserError, reason
from atlpa.records import Machine


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU; anything else is torch's own name of a device.

    Raises:
        UserError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    problem = "it is neither a CPU nor a CUDA device"
    try:
        device = torch.device(name)
        if device.type in ("cpu", "cuda"):
            torch.empty(1, device=device)
            return device
    except (RuntimeError, AssertionError) as error:
        problem = reason(error)
    raise UserError(f"device {name!r} cannot be used here ({problem}); allowed: auto, cpu, cuda, cuda:1 …")


def describe(device: torch.device) -> Machine:
    """The machine as a record holds it."""
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_model()
    return Machine(
        device=model,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
        instructions=_instructions() if device.type == "cpu" else None,
    )


def _instructions() -> str:
    """AVX2, AVX512 and bfloat16, as far as the environment lets oneDNN use them."""
    capability = torch.backends.cpu.get_cpu_capability()
    if held := os.environ.get("ONEDNN_MAX_CPU_ISA"):
        return f"{capability}, held to {held}"
    known = torch.cpu.get_capabilities()
    half = [name for name in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16") if known.get(name)]
    return ", ".join([capability, *half])


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()

"""Describes the machine that figures were measured on, without its name."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def machine() -> Figures:
    """Describes the machine, without its name."""
    import torch

    from services.separator.backends.quiet_openvino import openvino

    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "openvino": openvino.__version__.split("-")[0],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {key.strip(): value.strip() for key, value in fields.items()}
    flags = told.get("flags", "").split()
    extensions = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{told.get('model name', 'unknown')} ({', '.join(extensions)})"

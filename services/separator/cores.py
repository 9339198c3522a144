"""How many cores this process may compute on."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def available_cores(cgroup_limit: Path = _CGROUP_LIMIT) -> int:
    """Returns the physical cores, no more than affinity and the container's limit allow.

    Args:
        cgroup_limit: The control group's `cpu.max`: "quota period" in microseconds, or "max …".
    """
    # PyTorch's default is one thread per physical core: two on one core only get in the way.
    limits = [torch.get_num_threads()]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    try:
        quota, period = cgroup_limit.read_text().split()
    except (OSError, ValueError):
        quota, period = "max", "1"
    if quota != "max":
        limits.append(math.ceil(int(quota) / int(period)))
    return max(1, min(limits))

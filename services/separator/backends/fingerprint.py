"""What a result depends on beside weights and device: the code that computes it.

Converted networks and measured parities are kept by it, so that none outlives the code that has
made it.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("demucs", "torch")


@functools.cache
def code_fingerprint(folder: Path = Path(__file__).parent) -> str:
    """Returns 12 hexadecimal digits that change with the code in a folder, Demucs or PyTorch.

    Args:
        folder: Whose Python files count; by default those of all backends.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    for package in _PACKAGES:
        digest.update(f"{package} {version(package)}\n".encode())
    return digest.hexdigest()[:12]

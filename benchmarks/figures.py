"""Figures of a benchmark: printed, and kept in a file where one is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tell(figures: Mapping[str, Any], output: Path | None) -> None:
    """Prints figures as JSON, and writes them to a file as well where one is given."""
    told = json.dumps(figures, indent=2)
    print(told)
    if output:
        output.write_text(told + "\n", encoding="utf-8")

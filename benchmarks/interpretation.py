"""How long the built-in engine takes to understand a prompt, and how many it understands.

    python -m benchmarks.interpretation [CASES.jsonl ...] [--output F]

Runs golden cases, by default the project's own and, where they lie beside the checkout, the shared
ones. The own ones also guard against regress: they are all understood, or a test fails. What they
tell is time; accuracy is told by cases that nobody has written rules for.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from benchmarks.figures import tell
from benchmarks.machine import machine
from services.interpreter.evaluate import read_cases, report, run

_ROOT = Path(__file__).parents[1]
_OWN = _ROOT / "tests/unit/interpreter/golden.jsonl"
_SHARED = _ROOT.parent / "shared/golden/dev.jsonl"


def _measured(path: Path) -> dict[str, Any]:
    summary = report(asyncio.run(run("builtin", read_cases(path))))
    return {
        "cases": summary["cases"],
        "accuracy": summary["accuracy"],
        "wrong_edits": summary["wrong_edits"]["share"],
        "milliseconds": summary["milliseconds"],
    }


def main() -> None:
    """Measures and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path, nargs="*", help="golden cases, one JSON object a line")
    parser.add_argument("--output", type=Path, help="where to write the figures as well")
    options = parser.parse_args()
    paths: list[Path] = options.cases or [path for path in (_OWN, _SHARED) if path.exists()]
    figures = {
        "machine": machine(),
        "sets": {"own" if path == _OWN else path.stem: _measured(path) for path in paths},
    }
    tell(figures, options.output)


if __name__ == "__main__":
    main()

"""Fuzzes by coverage: `python -m tests.fuzz [TARGET …] [--seconds N]`; needs the extra `fuzz`.

Every target runs in a process of its own for as many seconds, from its seeds and from what earlier
runs have found worth keeping (`out/fuzz/<target>`). What breaks one is left beside them as
`crash-…` or `timeout-…`; add it to `tests/fuzz/seeds.py` with the mending.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

_FOLDER = Path("out") / "fuzz"
_SLOW_SECONDS = 20  # for one input: a loop without an end, on however busy a machine


def main() -> int:
    """Runs targets one after another; the exit status tells whether one broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        _fuzz(arguments.targets[0], arguments.seconds)
    from tests.fuzz.targets import TARGETS

    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    broken = []
    for name in arguments.targets or TARGETS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--inside"]
        command += ["--seconds", str(arguments.seconds)]
        if subprocess.run(command, check=False).returncode:
            broken.append(name)
    print(f"broken: {', '.join(broken)}" if broken else "nothing broke")
    return len(broken)


def _fuzz(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["mixdown", "services"]):
        from tests.fuzz.seeds import seeds
        from tests.fuzz.targets import TARGETS
    folder = _FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds()[name]:
        (folder / hashlib.sha256(seed).hexdigest()[:40]).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_SLOW_SECONDS}",
        f"-artifact_prefix={folder}/",
        "-max_len=4096",
        "-rss_limit_mb=4096",
        "-verbosity=1",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

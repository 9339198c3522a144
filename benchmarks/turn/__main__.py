"""What a caller meets: first audio, throughput, overhead of the edge, many callers at once.

    python -m benchmarks.turn [--only PART ...] [--json] [--output FILE]

Runs the suite as `mixdown up` does, with the model's real weights, and measures through Envoy. The
callers run on the same machine and share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks.machine import Figures, machine
from benchmarks.turn.bench import Bench, running_bench
from benchmarks.turn.latency import measure_cached, measure_live
from benchmarks.turn.overhead import measure_internal, measure_overhead
from benchmarks.turn.throughput import (
    measure_download,
    measure_downloads,
    measure_streams,
)

PARTS = (
    "cached_stem",
    "overhead",
    "internal",
    "download",
    "streams",
    "downloads",
    "live_separation",
)
"""What is measured, in this order."""


async def measure(bench: Bench, folder: Path, arguments: argparse.Namespace) -> Figures:
    """Measures what is asked for, one after another."""
    seconds, repeats = arguments.seconds, arguments.repeats
    lengths = (seconds, arguments.long_seconds)
    parts: dict[str, Callable[[], Awaitable[Figures]]] = {
        "cached_stem": lambda: _of_each(
            lengths, lambda length: measure_cached(bench, folder, length, repeats)
        ),
        "overhead": lambda: measure_overhead(bench, folder, seconds, repeats),
        "internal": lambda: measure_internal(bench, folder, seconds, repeats),
        "download": lambda: measure_download(bench, folder, seconds, repeats),
        "streams": lambda: measure_streams(bench, folder, 60.0, arguments.clients),
        "downloads": lambda: measure_downloads(bench, folder, 60.0, arguments.downloads),
        "live_separation": lambda: _of_each(
            lengths, lambda length: measure_live(bench, folder, length, 2)
        ),
    }
    # Load of the minute before: others may have worked on the machine meanwhile.
    figures = {"machine": machine(), "load_average": round(os.getloadavg()[0], 1)}
    for name in PARTS:
        if name in arguments.only:
            figures[name] = await parts[name]()
    return figures


async def _of_each(
    lengths: Sequence[float], measure_one: Callable[[float], Awaitable[Figures]]
) -> Figures:
    return {f"{length:g} s": await measure_one(length) for length in lengths}


def table(figures: Figures) -> str:
    """Returns the figures as text."""
    lines = [
        f"{figures['machine']['cpu']}, {figures['machine']['cores']} cores, "
        f"load {figures['load_average']} before"
    ]
    latencies = [name for name in ("cached_stem", "live_separation") if name in figures]
    if latencies:
        lines.append(
            f"{'after the prompt, ms':32}{'first event':>12}{'first audio':>12}{'longest':>9}"
        )
    for name in latencies:
        for length, run in figures[name].items():
            lines.append(
                f"{name.replace('_', ' ') + ', ' + length:32}{run['first_event_ms']:12.0f}"
                f"{run['first_audio_ms']:12.0f}{run['first_audio_longest_ms']:9.0f}"
            )
            if "segment_ms" in run:
                lines[-1] += (
                    f"  ({run['first_audio_segments']} segments of {run['segment_ms']} ms; "
                    f"uploaded in {run['upload_seconds']} s)"
                )
    for part, told in _TOLD.items():
        if part in figures:
            lines += told(figures[part])
    return "\n".join(lines)


def _overhead(overhead: Figures) -> list[str]:
    return [
        f"a remix of {name.replace('_', ' ')}: {run['remixer_seconds']} s of the remixer itself, "
        f"{run['through_envoy_and_gateway_seconds']} s through Envoy and gateway "
        f"({run['overhead_percent']:+} %; pair by pair {run['overhead_percent_of_pairs']:+} %); "
        f"CPU seconds {run['cpu_seconds_of_the_remixer_itself']['all']} and "
        f"{run['cpu_seconds_through_envoy_and_gateway']['all']}"
        for name, run in overhead.items()
        if name != "repeats"
    ]


def _download(download: Figures) -> list[str]:
    return [
        f"a download in MB/s: {download['grpc_mb_per_second']} by gRPC, "
        f"{download['http_mb_per_second']} by HTTP, "
        f"{download['copy_over_socket_mb_per_second']} copied over a socket"
    ]


def _streams(streams: Figures) -> list[str]:
    return [
        f"{streams['clients']} remixes at once: {streams['seconds']} s, with a slow caller "
        f"more {streams['seconds_with_a_slow_one']} s"
    ]


def _downloads(many: Figures) -> list[str]:
    return [
        f"{many['downloads']} downloads at once: {many['seconds']} s, "
        f"{many['mb_per_second']} MB/s; memory grew by MiB: {many['memory_mib_grown']}"
    ]


def _internal(figures: Figures) -> list[str]:
    directly, through = figures["directly"], figures["through_envoy"]
    return [
        f"from service to service: a short call {directly['short_call_ms']} ms, through Envoy "
        f"{through['short_call_ms']} ms; a file {directly['stream_seconds']} s, through Envoy "
        f"{through['stream_seconds']} s"
    ]


_TOLD: dict[str, Callable[[Figures], list[str]]] = {
    "overhead": _overhead,
    "internal": _internal,
    "download": _download,
    "streams": _streams,
    "downloads": _downloads,
}


def main() -> None:
    """Measures, prints a table, and writes the figures where `--output` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turn", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="of music")
    parser.add_argument("--long-seconds", type=float, default=3600.0, help="of a long track")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clients", type=int, default=8, help="that stream at once")
    parser.add_argument("--downloads", type=int, default=200, help="at once")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS)
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", type=Path, default=None, help="write the figures there too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_bench(folder) as bench:
            figures = asyncio.run(measure(bench, folder, arguments))
    text = json.dumps(figures, indent=1)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n")
    print(text if arguments.json else table(figures))


if __name__ == "__main__":
    main()

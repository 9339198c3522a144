"""What a caller meets: first audio, throughput, overhead of the edge, many callers at once.

    python -m benchmarks.turn [--json] [--output FILE]

Runs the suite as `mixdown up` does, with the model's real weights, and measures through Envoy. The
callers run on the same machine and share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path

from benchmarks.machine import Figures, machine
from benchmarks.turn.bench import Bench, running_bench
from benchmarks.turn.latency import measure_cached, measure_live
from benchmarks.turn.throughput import (
    measure_download,
    measure_downloads,
    measure_internal,
    measure_overhead,
    measure_streams,
)


async def measure(bench: Bench, folder: Path, arguments: argparse.Namespace) -> Figures:
    """Measures everything, one after another."""
    lengths = (arguments.seconds, arguments.long_seconds)
    repeats = arguments.repeats
    return {
        "machine": machine(),
        # Of the minute before: others may have worked on the machine meanwhile.
        "load_average": round(os.getloadavg()[0], 1),
        "cached_stem": {
            f"{seconds:g} s": await measure_cached(bench, folder, seconds, repeats)
            for seconds in lengths
        },
        "overhead": await measure_overhead(bench, folder, arguments.seconds, repeats),
        "internal": await measure_internal(bench, folder, arguments.seconds, repeats),
        "download": await measure_download(bench, folder, arguments.seconds, repeats),
        "streams": await measure_streams(bench, folder, 60.0, arguments.clients),
        "downloads": await measure_downloads(bench, folder, 60.0, arguments.downloads),
        "live_separation": {
            f"{seconds:g} s": await measure_live(bench, folder, seconds, 2) for seconds in lengths
        },
    }


def table(figures: Figures) -> str:
    """Returns the figures as text."""
    lines = [
        f"{figures['machine']['cpu']}, {figures['machine']['cores']} cores, "
        f"load {figures['load_average']} before",
        f"{'after the prompt, ms':32}{'first event':>12}{'first audio':>12}{'longest':>9}",
    ]
    for name in ("cached_stem", "live_separation"):
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
    overhead, download = figures["overhead"], figures["download"]
    streams, many = figures["streams"], figures["downloads"]
    return "\n".join(
        [
            *lines,
            f"a remix: {overhead['remixer_seconds']} s of the remixer itself, "
            f"{overhead['through_envoy_and_gateway_seconds']} s through Envoy and gateway "
            f"({overhead['overhead_percent']:+} %; medians "
            f"{overhead['overhead_percent_of_medians']:+} %)",
            f"its CPU seconds: {overhead['cpu_seconds_of_the_remixer_itself']['all']}, "
            f"through Envoy and gateway "
            f"{overhead['cpu_seconds_through_envoy_and_gateway']['all']}",
            *_internal(figures["internal"]),
            f"a download in MB/s: {download['grpc_mb_per_second']} by gRPC, "
            f"{download['http_mb_per_second']} by HTTP, "
            f"{download['copy_over_socket_mb_per_second']} copied over a socket",
            f"{streams['clients']} remixes at once: {streams['seconds']} s, with a slow caller "
            f"more {streams['seconds_with_a_slow_one']} s",
            f"{many['downloads']} downloads at once: {many['seconds']} s, "
            f"{many['mb_per_second']} MB/s; memory grew by MiB: {many['memory_mib_grown']}",
        ]
    )


def _internal(figures: Figures) -> list[str]:
    directly, through = figures["directly"], figures["through_envoy"]
    return [
        f"from service to service: a short call {directly['short_call_ms']} ms, through Envoy "
        f"{through['short_call_ms']} ms; a file {directly['stream_seconds']} s, through Envoy "
        f"{through['stream_seconds']} s"
    ]


def main() -> None:
    """Measures, prints a table, and writes the figures where `--output` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turn", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="of music")
    parser.add_argument("--long-seconds", type=float, default=3600.0, help="of a long track")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clients", type=int, default=8, help="that stream at once")
    parser.add_argument("--downloads", type=int, default=200, help="at once")
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

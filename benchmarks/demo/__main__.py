"""Talks to a song through the whole suite, checks what comes of it, measures and draws it.

    python -m benchmarks.demo [SONG] [--output out]

Exits with 1 where anything was not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import mixdown
from benchmarks.accuracy import read_all, sdr_db
from benchmarks.demo.conversation import CONVERSATION, Line, shortcomings
from benchmarks.demo.overview import draw_overview
from benchmarks.demo.song import Song, default_song
from benchmarks.demo.suite import SuiteNotStartedError, running_suite
from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix import Mix, Output
from mixdown.mix.protobuf import mix_from_message

_console = Console(highlight=False)

STEMS = ("vocals", "drums", "bass", "other")

STOCK_SDR_DB = {"drums": 10.358, "bass": 3.395, "other": 0.817, "vocals": 5.079}
"""What stock htdemucs (demucs 4.1.0, shifts=0, overlap 0.25) reaches on the default song."""

SDR_TOLERANCE_DB = 0.1


@dataclass(frozen=True)
class Said:
    """A line of the conversation and what came of it."""

    line: Line
    turn: mixdown.Turn
    seconds: float


async def converse(address: str, song: Song, folder: Path) -> tuple[list[Said], list[str]]:
    """Holds the conversation; returns what was said and what is not as it must be."""
    said = []
    problems = []
    async with mixdown.connect(address) as client:
        track = await client.upload(song.path, display_name=song.title)
        session = await client.create_session(track)
        mix = Mix()
        for number, line in enumerate(CONVERSATION, 1):
            _console.print(f"[bold cyan]you[/]      {line.prompt}")
            began = time.monotonic()
            turn = await session.ask(line.prompt, folder=folder / f"{number:02d}")
            said.append(Said(line, turn, time.monotonic() - began))
            _console.print(f"[bold green]mixdown[/]  {turn.reply}")
            stored = [item async for item in session.turns()][-1]
            found = shortcomings(line, stored, mix)
            problems += [f"“{line.prompt}”: {problem}" for problem in found]
            mix = mix_from_message(stored.mix)
        problems += _history_problems([item async for item in session.turns()])
    return said, problems


def _history_problems(turns: list[conversation_pb2.Turn]) -> list[str]:
    prompts = [turn.prompt for turn in turns]
    if prompts != [line.prompt for line in CONVERSATION]:
        return [f"the history holds {prompts}"]
    return []


async def separate_all(address: str, song: Song, folder: Path) -> dict[str, Path]:
    """Fetches every stem of the song, in a conversation of its own."""
    async with mixdown.connect(address) as client:
        session = await client.create_session(
            await client.upload(song.path, display_name=song.title)
        )
        turn = await session.render(
            Mix(), outputs=[Output("stem", (stem,)) for stem in STEMS], folder=folder
        )
        return dict(_fetched(turn))


def _fetched(turn: mixdown.Turn) -> list[tuple[str, Path]]:
    return [(file.name, file.path) for file in turn.files if file.path is not None]


def measure_stems(song: Song, stems: dict[str, Path]) -> dict[str, float]:
    """Returns the SDR of each stem against the true one, in dB."""
    return {
        stem: sdr_db(read_all(song.path, stream), read_all(stems[stem]))
        for stem, stream in song.true_stems.items()
    }


def print_conversation(said: list[Said]) -> None:
    """Prints the table of turns."""
    table = Table("turn", "you", "mixdown", "files", "seconds", title="The conversation")
    for number, item in enumerate(said, 1):
        files = "\n".join(f"{number:02d}/{path.name}" for _, path in _fetched(item.turn))
        table.add_row(str(number), item.line.prompt, item.turn.reply, files, f"{item.seconds:.1f}")
    _console.print(table)


def print_accuracy(measured: dict[str, float]) -> list[str]:
    """Prints the table of SDRs; returns what is too far from the stock model."""
    table = Table("stem", "SDR dB", "stock htdemucs", title="Stems against the true ones")
    problems = []
    for stem, value in measured.items():
        table.add_row(stem, f"{value:.2f}", f"{STOCK_SDR_DB[stem]:.2f}")
        if abs(value - STOCK_SDR_DB[stem]) > SDR_TOLERANCE_DB:
            problems.append(f"{stem}: SDR {value:.2f} dB, stock {STOCK_SDR_DB[stem]:.2f} dB")
    _console.print(table)
    return problems


def draw(song: Song, said: list[Said], stems: dict[str, Path], target: Path) -> None:
    """Draws the original, the stems and the mixes."""
    rows = [("original", song.path), *stems.items()]
    for number, item in enumerate(said, 1):
        rows += [
            (f"turn {number}: {item.line.prompt}", path)
            for name, path in _fetched(item.turn)
            if name == "mix"
        ]
    draw_overview(rows, target)


def run(song: Song, output: Path) -> list[str]:
    """Runs the demo; returns what is not as it must be."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    _console.print("Fetching the model's weights, where they are not here yet …")
    fetched = subprocess.run(
        [sys.executable, "-m", "services.separator", "fetch-weights"], check=False
    )
    if fetched.returncode != 0:
        return ["the weights could not be fetched"]
    with tempfile.TemporaryDirectory(prefix="mixdown-demo-") as data:
        _console.print("Starting the suite …")
        with running_suite(Path(data), output / "suite.log") as address:
            said, problems = asyncio.run(converse(address, song, output))
            stems = asyncio.run(separate_all(address, song, output / "stems"))
    print_conversation(said)
    if song.true_stems:
        problems += print_accuracy(measure_stems(song, stems))
    draw(song, said, stems, output / "overview.png")
    _console.print(f"Files: {output}/, picture: {output}/overview.png")
    return problems


def main() -> None:
    """Reads the command line and runs the demo."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, help="your own song")
    parser.add_argument("--output", type=Path, default=Path("out"))
    arguments = parser.parse_args()
    song = Song(arguments.song, arguments.song.name, {}) if arguments.song else default_song()
    try:
        problems = run(song, arguments.output)
    except (mixdown.MixdownError, SuiteNotStartedError, OSError) as error:
        problems = [str(error)]
    for problem in problems:
        _console.print(f"[bold red]failed[/]   {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

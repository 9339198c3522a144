"""Simulates separators under load: how long songs wait, and what autoscaling makes of it.

    python -m benchmarks.simulate [--speed X] [--price X] [--plots docs/scaling] [--json FILE]

Discrete events: a song arrives, is queued at a separator, is computed side by side with at most
three others, and leaves. What was measured comes from `benchmarks/results/`; what was not is an
argument here, and called an assumption in `docs/scaling.md`: above all the speed of a GPU.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.machine import Figures

DAY_SECONDS = 86_400.0
RUNNING_TRACKS = 4  # MIXDOWN_RUNNING_TRACKS
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Assumptions:
    """What was not measured.

    Args:
        speed: Seconds of music that one separator computes in a second, all songs together.
        start_seconds: From the wish for another separator until it serves (node, image, model).
        song_seconds: Median length of a song; lengths are log-normal.
        song_spread: Standard deviation of the logarithm of lengths.
        price_an_hour: Of one separator, in any currency.
    """

    speed: float
    start_seconds: float = 180.0
    song_seconds: float = 210.0
    song_spread: float = 0.35
    price_an_hour: float = 2.0

    @property
    def mean_song_seconds(self) -> float:
        """Mean length of a song."""
        return self.song_seconds * math.exp(self.song_spread**2 / 2)

    def songs_an_hour(self, load: float = 1.0) -> float:
        """Songs that one separator computes in an hour, busy for that share of it."""
        return 3600 * self.speed * load / self.mean_song_seconds


@dataclass(frozen=True)
class Scaler:
    """The autoscaler of `deploy/k8s/components/keda/separator.yaml`.

    Args:
        minimum: Separators that are always there.
        maximum: Separators that there may be.
        tracks_each: Running and waiting tracks for which one separator is meant.
        look_seconds: How often the queue is looked at.
        calm_seconds: For how long fewer must have been enough before one goes.
        step_seconds: Time between two that go.
    """

    minimum: int
    maximum: int
    tracks_each: float = 4.0
    look_seconds: float = 15.0
    calm_seconds: float = 600.0
    step_seconds: float = 120.0


@dataclass
class Song:
    """A song on its way."""

    arrived: float
    seconds: float
    began: float = math.nan
    left: float = math.nan


@dataclass
class Separator:
    """A separator: songs that it computes in turns, and those that wait for it."""

    born: float
    running: dict[int, float] = field(default_factory=dict)
    songs: dict[int, Song] = field(default_factory=dict)
    waiting: deque[tuple[int, Song]] = field(default_factory=deque)
    updated: float = 0.0
    busy_seconds: float = 0.0
    version: int = 0
    leaving: bool = False

    @property
    def tracks(self) -> int:
        """Songs that run or wait."""
        return len(self.running) + len(self.waiting)


@dataclass
class Outcome:
    """What a simulation gave; series are (second, value)."""

    songs: list[Song]
    replicas: list[tuple[float, int]]
    replica_seconds: float
    busy_seconds: float

    def waits(self) -> np.ndarray:
        """Seconds that each song waited before its computation began."""
        return np.array([song.began - song.arrived for song in self.songs])

    def summary(self) -> Figures:
        """The figures of the page."""
        waits = self.waits()
        stays = np.array([song.left - song.arrived for song in self.songs])
        return {
            "songs": len(self.songs),
            "wait_seconds": {
                f"p{p}": round(float(np.percentile(waits, p)), 1) for p in (50, 95, 99)
            },
            "stay_seconds": {f"p{p}": round(float(np.percentile(stays, p)), 1) for p in (50, 95)},
            "most_replicas": max(count for _, count in self.replicas),
            "replica_hours": round(self.replica_seconds / 3600, 1),
            "busy": round(self.busy_seconds / self.replica_seconds, 3),
        }


class Simulation:
    """One run.

    Args:
        assumptions: Speed, lengths, starting time.
        scaler: How many separators there are.
        seed: Of all chance.
    """

    def __init__(self, assumptions: Assumptions, scaler: Scaler, seed: int) -> None:
        self._assumptions = assumptions
        self._scaler = scaler
        self._random = np.random.default_rng(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now = 0.0
        self._separators = [Separator(0.0) for _ in range(scaler.minimum)]
        self._starting = 0
        self._done: list[Song] = []
        self._open = 0
        self._replicas: list[tuple[float, int]] = [(0.0, scaler.minimum)]
        self._replica_seconds = 0.0
        self._busy_seconds = 0.0
        self._wishes: deque[tuple[float, int]] = deque()
        self._last_left = -math.inf

    def run(self, rate: Callable[[float], float], highest: float, seconds: float) -> Outcome:
        """Runs until all songs that arrived have left.

        Args:
            rate: Songs a second at a time.
            highest: A rate that is never exceeded.
            seconds: For how long songs arrive.
        """
        for at in self._arrivals(rate, highest, seconds):
            self._at(at, self._arrive)
        self._at(0.0, self._look)
        self._until = seconds
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        for separator in self._separators:
            self._account(separator)
        return Outcome(self._done, self._replicas, self._replica_seconds, self._busy_seconds)

    def _arrivals(
        self, rate: Callable[[float], float], highest: float, seconds: float
    ) -> list[float]:
        """Draws a Poisson process whose rate changes, by thinning."""
        count = self._random.poisson(highest * seconds)
        times = np.sort(self._random.uniform(0, seconds, count))
        chance = self._random.uniform(0, highest, count)
        kept = [float(at) for at, c in zip(times, chance, strict=True) if c < rate(float(at))]
        self._open = len(kept)
        return kept

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), happen))

    def _arrive(self) -> None:
        assumptions = self._assumptions
        length = assumptions.song_seconds * math.exp(
            assumptions.song_spread * self._random.standard_normal()
        )
        candidates = [separator for separator in self._separators if not separator.leaving]
        # As Envoy's LEAST_REQUEST: the better of two by chance.
        pair = [candidates[self._random.integers(len(candidates))] for _ in range(2)]
        chosen = min(pair, key=lambda separator: separator.tracks)
        chosen.waiting.append((next(self._order), Song(self._now, length)))
        self._advance(chosen)

    def _advance(self, separator: Separator) -> None:
        """Lets a separator work up to now, and plans its next end of a song."""
        running = separator.running
        if running:
            passed = self._now - separator.updated
            separator.busy_seconds += passed
            share = passed * self._assumptions.speed / len(running)
            for key in list(running):
                running[key] -= share
                if running[key] <= 1e-6:
                    self._finish(separator, key)
        separator.updated = self._now
        while separator.waiting and len(running) < RUNNING_TRACKS:
            key, song = separator.waiting.popleft()
            song.began = self._now
            running[key] = song.seconds
            separator.songs[key] = song
        separator.version += 1
        if running:
            version = separator.version
            soonest = min(running.values()) * len(running) / self._assumptions.speed
            self._at(
                self._now + soonest,
                lambda: self._advance(separator) if separator.version == version else None,
            )
        elif separator.leaving and separator in self._separators:
            self._remove(separator)

    def _finish(self, separator: Separator, key: int) -> None:
        del separator.running[key]
        song = separator.songs.pop(key)
        song.left = self._now
        self._done.append(song)
        self._open -= 1

    def _look(self) -> None:
        """What the autoscaler does at each look."""
        scaler = self._scaler
        tracks = sum(separator.tracks for separator in self._separators)
        wish = min(scaler.maximum, max(scaler.minimum, math.ceil(tracks / scaler.tracks_each)))
        self._wishes.append((self._now, wish))
        while self._wishes[0][0] < self._now - scaler.calm_seconds:
            self._wishes.popleft()
        there = [separator for separator in self._separators if not separator.leaving]
        count = len(there) + self._starting
        for _ in range(wish - count):
            self._starting += 1
            self._at(self._now + self._assumptions.start_seconds, self._add)
        enough = max(wished for _, wished in self._wishes)
        rested = self._now - self._last_left >= scaler.step_seconds
        if enough < count and rested and len(there) > scaler.minimum:
            leaver = min(there, key=lambda separator: separator.tracks)
            leaver.leaving = True
            self._last_left = self._now
            self._advance(leaver)
        if self._open or self._now < self._until:
            self._at(self._now + scaler.look_seconds, self._look)

    def _add(self) -> None:
        self._starting -= 1
        self._separators.append(Separator(self._now, updated=self._now))
        self._replicas.append((self._now, len(self._separators)))

    def _remove(self, separator: Separator) -> None:
        self._separators.remove(separator)
        self._replicas.append((self._now, len(self._separators)))
        self._account(separator)

    def _account(self, separator: Separator) -> None:
        self._replica_seconds += self._now - separator.born
        self._busy_seconds += separator.busy_seconds


def daily(peak_a_second: float) -> Callable[[float], float]:
    """Returns a day's curve: the most at 20:00, a tenth of it at 08:00."""

    def rate(at: float) -> float:
        phase = math.cos(2 * math.pi * (at / DAY_SECONDS - 20 / 24))
        return peak_a_second * (0.55 + 0.45 * phase)

    return rate


def spike(
    base_a_second: float, factor: float, begin: float, end: float
) -> Callable[[float], float]:
    """Returns an even rate that is `factor` times as high for a while."""

    def rate(at: float) -> float:
        return base_a_second * (factor if begin <= at < end else 1.0)

    return rate


def measured_cpu_speed() -> float:
    """Returns what four songs at once gave on two cores, in seconds of music a second."""
    figures = json.loads((_RESULTS / "separation-epyc-2-cores.json").read_text())
    return float(figures["concurrent"]["real_time_factor"])


def delays(assumptions: Assumptions, replicas: int, loads: tuple[float, ...]) -> Figures:
    """Measures waiting by load, for a fixed number of separators."""
    found = {}
    for load in loads:
        rate = replicas * assumptions.songs_an_hour(load) / 3600
        songs = 20_000
        run = Simulation(assumptions, Scaler(replicas, replicas), seed=1)
        found[str(load)] = run.run(spike(rate, 1, 0, 0), rate, songs / rate).summary()
    return found


def scenarios(assumptions: Assumptions) -> dict[str, tuple[Outcome, Callable[[float], float]]]:
    """Runs a day and a spike, with autoscaling."""
    one = assumptions.songs_an_hour() / 3600
    day = daily(7 * one)  # at its peak as much as seven separators could just do
    burst = spike(1.4 * one, 5.0, 3600.0, 4500.0)
    scaler = Scaler(minimum=2, maximum=10)
    return {
        "day": (Simulation(assumptions, scaler, 2).run(day, 7 * one, DAY_SECONDS), day),
        "spike": (Simulation(assumptions, scaler, 3).run(burst, 7 * one, 3 * 3600.0), burst),
    }


def plot(name: str, outcome: Outcome, rate: Callable[[float], float], path: Path) -> None:
    """Draws arrivals, separators and waiting over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    end = max(song.left for song in outcome.songs)
    step = end / 96
    edges = np.arange(0, end + step, step)
    hours = edges / 3600
    figure, (above, middle, below) = pyplot.subplots(3, 1, figsize=(8, 6.5), sharex=True)
    above.plot(hours, [3600 * rate(float(at)) for at in edges], color="#3b6ea5")
    above.set_ylabel("songs an hour")
    times, counts = zip(*outcome.replicas, strict=True)
    middle.step(
        [*np.array(times) / 3600, hours[-1]], [*counts, counts[-1]], where="post", color="#2a7f62"
    )
    middle.set_ylabel("separators")
    middle.set_ylim(bottom=0)
    arrived = np.array([song.arrived for song in outcome.songs])
    waits = outcome.waits()
    at = np.digitize(arrived, edges)
    for share, colour in ((50, "#999999"), (95, "#b5482f")):
        values = [
            float(np.percentile(waits[at == n], share)) if (at == n).any() else np.nan
            for n in range(1, len(edges) + 1)
        ]
        below.plot(hours, values, color=colour, label=f"p{share}")
    below.set_ylabel("wait for a separator (s)")
    below.set_xlabel("hours")
    below.legend()
    above.set_title(f"Simulated: {name}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Reads the command line, simulates, tells and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--speed", type=float, default=60.0, help="music seconds a second (assumed)"
    )
    parser.add_argument("--price", type=float, default=2.0, help="of one separator, an hour")
    parser.add_argument("--start", type=float, default=180.0, help="seconds until another serves")
    parser.add_argument("--plots", type=Path, help="folder for the plots")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    assumed = Assumptions(arguments.speed, arguments.start, price_an_hour=arguments.price)
    measured = Assumptions(measured_cpu_speed(), arguments.start)
    figures: Figures = {
        "assumed": {"speed": assumed.speed, "songs_an_hour": round(assumed.songs_an_hour(), 1)},
        "measured_on_two_cores": {
            "speed": measured.speed,
            "songs_an_hour": round(measured.songs_an_hour(), 1),
        },
        "waiting_by_load": {
            str(count): delays(assumed, count, (0.5, 0.7, 0.85, 0.95)) for count in (1, 10)
        },
    }
    for name, (outcome, rate) in scenarios(assumed).items():
        figures[name] = outcome.summary()
        cost = figures[name]["replica_hours"] * assumed.price_an_hour / figures[name]["songs"]
        figures[name]["cost_a_song"] = round(cost, 5)
        if arguments.plots:
            arguments.plots.mkdir(parents=True, exist_ok=True)
            plot(name, outcome, rate, arguments.plots / f"{name}.png")
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

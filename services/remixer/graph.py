"""The graph of a render: original and stems in, outputs out, all as streams.

    original ─┬──────────────────────────────▶ Σ ─▶ master chain ─▶ limiter ─▶ mix
    stem ─────┼─▶ chain ─▶ (processed − stem) ─┘
              └─▶ processed: an output "stem"; original − Σ stems: an output "without"

Streams are aligned: every chain gives what it got, in time, later. Each sum waits for the latest of
its terms, and goes on until the longest one ends (reverbs have tails). The limiter's ceiling is
−1 dBTP, or the original's own true peak where that is higher; an untouched mix has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

import numpy as np

from mixdown.mix import MASTER, Mix, Output
from services.remixer.chain import Chain, Track, build_chain
from services.remixer.effects.limiter import Limiter
from services.remixer.effects.processor import empty, silence
from services.remixer.frame_queue import FrameQueue
from services.remixer.plan import edited_stems
from services.runtime.audio.reader import Samples

_ORIGINAL = ""
"""Name of the original among the stems; no stem has it."""

CEILING_DBTP = -1.0
"""The true peak that a mix may reach where its original lies below (EBU R 128, for delivery)."""


class Sum:
    """Adds up streams that come at different paces, always in the order of `signs`.

    Args:
        signs: +1 or −1 by name of the term.
        channels: Number of channels.
    """

    def __init__(self, signs: Sequence[tuple[str, int]], channels: int) -> None:
        self._terms = [(name, sign, FrameQueue(channels)) for name, sign in signs]
        self._channels = channels

    def push(self, name: str, block: Samples) -> None:
        """Appends to the term `name`."""
        for term, _, queue in self._terms:
            if term == name:
                queue.push(block)

    def ready(self) -> Samples:
        """Returns the sum of the frames that every term has."""
        return self._add(min(queue.frames for _, _, queue in self._terms))

    def rest(self) -> Samples:
        """Returns the sum of what is left, terms that ended early being silent."""
        frames = max(queue.frames for _, _, queue in self._terms)
        for _, _, queue in self._terms:
            queue.push(silence(self._channels, frames - queue.frames))
        return self._add(frames)

    def _add(self, frames: int) -> Samples:
        if frames == 0:
            return empty(self._channels)
        total: Samples | None = None
        for _, sign, queue in self._terms:
            block = queue.pop(frames)
            if total is None:
                total = block if sign > 0 else -block
            else:
                total = total + block if sign > 0 else total - block
        assert total is not None
        return total


@dataclass(frozen=True)
class _Step:
    """Frames that the chains work on."""

    original: Samples
    stems: Mapping[str, Samples]
    work: Mapping[str, Future[Samples]]


class Graph:
    """Renders outputs of an audible mix.

    Args:
        mix: Settings that can be heard; see `plan.audible_mix`.
        outputs: What to render.
        track: The original: its rate, which the stems share, its channels, its length.
        true_peak: The true peak of the original.
        pool: Threads in which the chains of several stems work side by side. Each chain has its
            own state, so that their number changes no bit.
    """

    def __init__(
        self,
        mix: Mix,
        outputs: Iterable[Output],
        track: Track,
        true_peak: float,
        pool: Executor | None = None,
    ) -> None:
        channels = self._channels = track.channels
        self._pool = pool
        self._pending: _Step | None = None
        self._outputs = tuple(outputs)
        kinds = {output.kind for output in self._outputs}
        edited = edited_stems(mix) if "mix" in kinds else ()
        processed = {*edited, *(o.stems[0] for o in self._outputs if o.kind == "stem")}
        self._chains: dict[str, Chain] = {
            stem: build_chain(stem, mix[stem], track) for stem in sorted(processed)
        }
        self._changes = {stem: Sum([("processed", 1), (stem, -1)], channels) for stem in edited}
        self._mix = Sum([(_ORIGINAL, 1), *((stem, 1) for stem in edited)], channels)
        master = build_chain(MASTER, mix[MASTER], track)
        ceiling = max(10.0 ** (CEILING_DBTP / 20.0), true_peak)
        self._limiter = None if mix.is_neutral else Limiter(ceiling, track.sample_rate_hz, channels)
        self._master = Chain([master, *([self._limiter] if self._limiter else [])], channels)
        self._without = {
            output.name: Sum(
                [(_ORIGINAL, 1), *((stem, -1) for stem in sorted(output.stems))], channels
            )
            for output in self._outputs
            if output.kind == "without"
        }

    @property
    def limited_db(self) -> float:
        """By how much the limiter lowered the highest peak of the mix so far; 0 or more."""
        return self._limiter.limited_db if self._limiter else 0.0

    def push(
        self, original: Samples, stems: Mapping[str, Samples], *, more_follows: bool = False
    ) -> dict[str, Samples]:
        """Takes the next frames of the original and of every needed stem.

        Args:
            original: Frames of the original.
            stems: As many of each stem.
            more_follows: Whether the next ones are there already. Then the chains may work on these
                while the caller does something with what was ready before.

        Returns:
            The frames that are ready, by name of output.
        """
        before = self._pending
        if before is not None:
            # All of them are waited for, also when one fails: nothing works on after the render.
            wait(before.work.values())
        self._pending = _Step(original, stems, self._submit(stems))
        ready = self._completed(before)
        if not more_follows or self._pool is None:
            ready = self._joined(ready, self._last_step())
        return ready

    def _submit(self, stems: Mapping[str, Samples]) -> dict[str, Future[Samples]]:
        if self._pool is not None and len(self._chains) > 0:
            return {
                name: self._pool.submit(chain.process, stems[name])
                for name, chain in self._chains.items()
            }
        work: dict[str, Future[Samples]] = {}
        for name, chain in self._chains.items():
            work[name] = Future()
            work[name].set_result(chain.process(stems[name]))
        return work

    def _last_step(self) -> dict[str, Samples]:
        step, self._pending = self._pending, None
        return self._completed(step)

    def _completed(self, step: _Step | None) -> dict[str, Samples]:
        """Returns what is ready once the chains are done with a step."""
        if step is None:
            return {output.name: empty(self._channels) for output in self._outputs}
        wait(step.work.values())
        processed = {name: future.result() for name, future in step.work.items()}
        for name, block in ((_ORIGINAL, step.original), *step.stems.items()):
            for total in self._without.values():
                total.push(name, block)
        return self._collect(step.original, step.stems, processed)

    @staticmethod
    def _joined(first: Mapping[str, Samples], second: Mapping[str, Samples]) -> dict[str, Samples]:
        return {
            name: np.concatenate((block, second[name]), axis=1) for name, block in first.items()
        }

    def close(self) -> None:
        """Waits for the chains, so that nothing works on after the render."""
        if self._pending is not None:
            wait(self._pending.work.values())

    def finish(self) -> dict[str, Samples]:
        """Returns the frames that are still due, tails included, by name of output."""
        before = self._last_step()
        processed = {stem: processor.finish() for stem, processor in self._chains.items()}
        ready = self._joined(before, self._collect(empty(self._channels), {}, processed))
        if any(output.kind == "mix" for output in self._outputs):
            for stem, change in self._changes.items():
                self._mix.push(stem, change.rest())
            parts = (self._master.process(self._mix.rest()), self._master.finish())
            name = next(output.name for output in self._outputs if output.kind == "mix")
            ready[name] = np.concatenate((ready[name], *parts), axis=1)
        return ready

    def _collect(
        self,
        original: Samples,
        stems: Mapping[str, Samples],
        processed: Mapping[str, Samples],
    ) -> dict[str, Samples]:
        ready: dict[str, Samples] = {}
        for output in self._outputs:
            if output.kind == "without":
                ready[output.name] = self._without[output.name].ready()
            elif output.kind == "stem":
                ready[output.name] = processed[output.stems[0]]
            else:
                ready[output.name] = self._mixed(original, stems, processed)
        return ready

    def _mixed(
        self,
        original: Samples,
        stems: Mapping[str, Samples],
        processed: Mapping[str, Samples],
    ) -> Samples:
        self._mix.push(_ORIGINAL, original)
        for stem, change in self._changes.items():
            change.push("processed", processed[stem])
            if stem in stems:
                change.push(stem, stems[stem])
            self._mix.push(stem, change.ready())
        return self._master.process(self._mix.ready())

"""The graph of a render: original and stems in, outputs out, all as streams.

    original ─┬──────────────────────────────▶ Σ ─▶ master chain ─▶ limiter ─▶ mix
    stem ─────┼─▶ chain ─▶ (processed − stem) ─┘
              └─▶ processed: an output "stem"; original − Σ stems: an output "without"

Stems with the same amount of reverb share one: the reverberation of their sum.

Streams are aligned: every chain gives what it got, in time, later. Each sum waits for the latest of
its terms, and goes on until the longest one ends (reverbs have tails). The limiter's ceiling is
−1 dBTP, or the original's own true peak where that is higher; an untouched mix has none.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

import numpy as np

from mixdown.mix import MASTER, Mix, Output
from services.remixer.chain import Chain, Track, build_chain
from services.remixer.effects.limiter import Limiter
from services.remixer.effects.processor import empty, joined
from services.remixer.lane import Lane
from services.remixer.plan import edited_stems
from services.remixer.rooms import shared_rooms, without_room
from services.remixer.sums import Sum
from services.runtime.audio.reader import Samples

_ORIGINAL = ""
"""Name of the original among the stems; no stem has it."""

_MAX_STEPS_AHEAD = 2
"""How many steps the slowest chain may be behind what was pushed."""

CEILING_DBTP = -1.0
"""The true peak that a mix may reach where its original lies below (EBU R 128, for delivery)."""


def ceiling_of(true_peak: float) -> float:
    """Returns the true peak that a mix may reach whose original has that one."""
    return max(math.pow(10.0, CEILING_DBTP / 20.0), true_peak)


@dataclass(frozen=True)
class _Step:
    """Frames that the chains work on."""

    original: Samples
    stems: Mapping[str, Samples]
    work: Mapping[str, Future[Samples]]

    @property
    def is_done(self) -> bool:
        """Whether the chains are done with it."""
        return all(future.done() for future in self.work.values())


class Graph:
    """Renders outputs of an audible mix.

    Args:
        mix: Settings that can be heard; see `plan.audible_mix`.
        outputs: What to render.
        track: The original: its rate, which the stems share, its channels, its length.
        ceiling: The true peak that the mix may reach; None: any.
        pool: Threads in which the chains of several stems work side by side. Each chain has its
            own state, so that their number changes no bit.
    """

    def __init__(
        self,
        mix: Mix,
        outputs: Iterable[Output],
        track: Track,
        ceiling: float | None,
        pool: Executor | None = None,
    ) -> None:
        channels = self._channels = track.channels
        self._pending: deque[_Step] = deque()
        self._has_begun = False
        self._outputs = tuple(outputs)
        kinds = {output.kind for output in self._outputs}
        edited = edited_stems(mix) if "mix" in kinds else ()
        processed = {*edited, *(o.stems[0] for o in self._outputs if o.kind == "stem")}
        self._rooms = shared_rooms(mix, edited, track.sample_rate_hz, channels)
        shared = {stem for room in self._rooms for stem in room.stems}
        self._chains: dict[str, Chain] = {
            stem: build_chain(stem, without_room(mix[stem]) if stem in shared else mix[stem], track)
            for stem in sorted(processed)
        }
        handed_out = {output.stems[0] for output in self._outputs if output.kind == "stem"}
        self._own_rooms = {
            stem: room.around_one()
            for room in self._rooms
            for stem in room.stems
            if stem in handed_out
        }
        self._lanes: dict[str, Lane[Samples]] = {stem: Lane(pool) for stem in self._chains}
        self._changes = {stem: Sum([("processed", 1), (stem, -1)], channels) for stem in edited}
        terms = [_ORIGINAL, *edited, *(room.name for room in self._rooms)]
        self._mix = Sum([(term, 1) for term in terms], channels)
        master = build_chain(MASTER, mix[MASTER], track)
        self._limiter = (
            None
            if ceiling is None or mix.is_neutral
            else Limiter(ceiling, track.sample_rate_hz, channels)
        )
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

    @property
    def is_ahead(self) -> bool:
        """Whether chains still work on frames that were pushed."""
        return bool(self._pending)

    def push(self, original: Samples, stems: Mapping[str, Samples]) -> dict[str, Samples]:
        """Takes the next frames of the original and of every needed stem.

        The chains work on them while the caller goes on. Only where they are far behind, it waits.

        Args:
            original: Frames of the original.
            stems: As many of each stem.

        Returns:
            The frames that are ready, by name of output.
        """
        work = {
            name: self._lanes[name].submit(chain.process, stems[name])
            for name, chain in self._chains.items()
        }
        self._pending.append(_Step(original, stems, work))
        return self._collect_steps(_MAX_STEPS_AHEAD if self._has_begun else 0)

    def flush(self) -> dict[str, Samples]:
        """Waits for the chains and returns the frames that are ready, by name of output."""
        return self._collect_steps(0)

    def finish(self) -> dict[str, Samples]:
        """Returns the frames that are still due, tails included, by name of output."""
        work = {
            name: self._lanes[name].submit(chain.finish) for name, chain in self._chains.items()
        }
        self._pending.append(_Step(empty(self._channels), {}, work))
        ready = self._collect_steps(0)
        for stem, own_room in self._own_rooms.items():
            ready[stem] = np.concatenate((ready[stem], own_room.finish()), axis=1)
        if any(output.kind == "mix" for output in self._outputs):
            for stem, change in self._changes.items():
                self._mix.push(stem, change.rest())
            for room in self._rooms:
                self._mix.push(room.name, room.finish())
            parts = (self._master.process(self._mix.rest()), self._master.finish())
            name = next(output.name for output in self._outputs if output.kind == "mix")
            ready[name] = np.concatenate((ready[name], *parts), axis=1)
        return ready

    def close(self) -> None:
        """Waits for the chains, so that nothing works on after the render."""
        for step in self._pending:
            wait(step.work.values())

    def _collect_steps(self, may_wait: int) -> dict[str, Samples]:
        """Collects the steps that are done; waits until at most `may_wait` are left."""
        parts: list[dict[str, Samples]] = []
        while self._pending:
            step = self._pending[0]
            if len(self._pending) <= may_wait and not step.is_done:
                break
            processed = {name: future.result() for name, future in step.work.items()}
            self._pending.popleft()
            for name, block in ((_ORIGINAL, step.original), *step.stems.items()):
                for total in self._without.values():
                    total.push(name, block)
            parts.append(self._collect(step.original, step.stems, processed))
        ready = {
            output.name: joined([part[output.name] for part in parts], self._channels)
            for output in self._outputs
        }
        # Until the first frames go out nobody shall wait for the chains to get ahead.
        self._has_begun = self._has_begun or any(block.shape[1] for block in ready.values())
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
                stem = output.stems[0]
                own_room = self._own_rooms.get(stem)
                block = processed[stem]
                ready[output.name] = own_room.process(block) if own_room else block
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
        for room in self._rooms:
            self._mix.push(room.name, room.process(processed))
        return self._master.process(self._mix.ready())

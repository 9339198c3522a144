"""Puts what the networks gave together, and writes down what is final."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np

from services.runtime.audio.levels import Levels
from services.runtime.audio.reader import Samples
from services.separator.models import SeparationModel
from services.separator.overlap_add import OverlapAdd, StemSamples
from services.separator.segments import Gains, Segment
from services.separator.spool import Spool
from services.separator.stem_store import StemWriter
from services.separator.worker_thread import side_by_side


class Collector:
    """Writes the stems of one track to the spool and into the store, from left to right.

    Args:
        model: What gives the stems.
        stems: Those that are kept, in the model's order.
        levels: Of the track; normalising is undone.
        spool: Where readers find them at once.
        writers: Into the store, by stem.
        threads: Each stem has one to itself while a segment is collected: on a CPU the device's own
            threads wait for whatever takes a core, and a fast GPU computes a segment in less time
            than one core has for its stems.
    """

    def __init__(
        self,
        model: SeparationModel,
        stems: Sequence[str],
        levels: Levels,
        spool: Spool,
        writers: Mapping[str, StemWriter],
        threads: Executor,
    ) -> None:
        self._model = model
        self._sums = {stem: OverlapAdd(model.channels, levels.frames) for stem in stems}
        self._levels = levels
        self._spool = spool
        self._writers = writers
        self._threads = threads

    def collect(self, segment: Segment, output: StemSamples, until: int) -> None:
        """Adds the output of a segment and writes all frames before `until`.

        Args:
            segment: The segment.
            output: `[stems, channels, frames]`, all that the network gave, normalised.
            until: Up to where nothing changes any more.
        """
        gains = segment.gains()
        shares = self._model.members[segment.member].shares
        calls = []
        for stem in self._sums:
            index = self._model.stems.index(stem)
            weights = gains * np.float32(shares[index]) if shares[index] else None
            calls.append(partial(self._collect_stem, stem, segment, output[index], weights, until))
        side_by_side(self._threads, calls)

    def _collect_stem(
        self, stem: str, segment: Segment, output: Samples, gains: Gains | None, until: int
    ) -> None:
        sums = self._sums[stem]
        if gains is not None:
            sums.add(segment, output, gains)
        final = sums.take(until)
        if not len(final):
            return
        final *= self._levels.deviation
        final += self._levels.mean
        interleaved = final.astype("<f4", copy=False).tobytes()
        self._spool.append(stem, interleaved)
        self._writers[stem].write(interleaved)

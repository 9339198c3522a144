"""Puts what the networks gave together, and writes down what is final."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, wait

from services.runtime.audio.levels import Levels
from services.runtime.audio.reader import Samples
from services.separator.models import SeparationModel
from services.separator.overlap_add import OverlapAdd, StemSamples
from services.separator.segments import Segment
from services.separator.spool import Spool
from services.separator.stem_store import StemWriter, interleave


class Collector:
    """Writes the stems of one track to the spool and into the store, from left to right.

    Args:
        model: What gives the stems.
        stems: Those that are kept, in the model's order.
        levels: Of the track; normalising is undone.
        spool: Where readers find them at once.
        writers: Into the store, by stem, in the order of `stems`.
        threads: Write the stems side by side: hashing them takes longest, and a fast GPU computes a
            segment in less time than one core has for its stems.
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
        self._kept = [model.stems.index(stem) for stem in stems]
        self._shares = [[member.shares[stem] for stem in self._kept] for member in model.members]
        self._sums = OverlapAdd(len(self._kept), model.channels, levels.frames)
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
        kept = output if len(self._kept) == len(output) else output[self._kept]
        self._sums.add(segment, kept, self._shares[segment.member])
        final = self._sums.take(until)
        if not final.shape[-1]:
            return
        writing = [
            self._threads.submit(self._write, stem, samples)
            for stem, samples in zip(self._writers, final, strict=True)
        ]
        wait(writing)  # all, before one that failed is told: what they write to is closed then
        for stem_written in writing:
            stem_written.result()

    def _write(self, stem: str, samples: Samples) -> None:
        samples *= self._levels.deviation
        samples += self._levels.mean
        interleaved = interleave(samples)
        self._spool.append(stem, interleaved)
        self._writers[stem].write(interleaved)

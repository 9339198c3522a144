"""Puts what the networks gave together, and writes down what is final."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.runtime.audio.levels import Levels
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
    """

    def __init__(
        self,
        model: SeparationModel,
        stems: Sequence[str],
        levels: Levels,
        spool: Spool,
        writers: Mapping[str, StemWriter],
    ) -> None:
        self._kept = [model.stems.index(stem) for stem in stems]
        self._shares = [[member.shares[stem] for stem in self._kept] for member in model.members]
        self._sums = OverlapAdd(len(self._kept), model.channels, levels.frames)
        self._levels = levels
        self._spool = spool
        self._writers = writers

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
        final *= self._levels.deviation
        final += self._levels.mean
        for samples, (stem, writer) in zip(final, self._writers.items(), strict=True):
            interleaved = interleave(samples)
            self._spool.append(stem, interleaved)
            writer.write(interleaved)

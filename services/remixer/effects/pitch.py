"""Pitch."""

from __future__ import annotations

import numpy as np
from pylibrb import Option, RubberBandStretcher

from services.remixer.effects.processor import FixedBlocks, empty, silence
from services.runtime.audio.reader import Samples

_BLOCK_FRAMES = 4096
"""Rubber Band's result depends on the size of the blocks that it gets; it always gets this one.
Each call lets other threads run meanwhile and then waits for its turn among them: few long ones are
the same work as many short ones, and less waiting."""

_SHORT_WINDOW_SEMITONES = 12.0
"""Up to here the short window keeps onsets within 10 ms (measured: 8 ms at an octave down, 11 ms at
two)."""


class Pitch:
    """Shifts the pitch and keeps the length: Rubber Band's R3 engine in its real-time mode.

    With its short window, which is twice as fast (20 times real time on one core) and keeps chords
    above 200 Hz cleaner; the standard one, which tells low notes apart, where there are such notes,
    and beyond an octave, where its onsets are the better ones. Both hold a tone to a hundredth of
    a cent, and let transients through as they are.

    Its delay is taken out to the sample, as its documentation says: silence of the preferred
    length goes in first, and the frames of the start delay are dropped. The length is exact. Not
    transparent at 0 semitones: leave it out there.

    Args:
        semitones: −24 to 24.
        sample_rate_hz: Sampling rate, 8000 to 192 000 Hz.
        channels: 1 or 2; both are kept in phase.
        keeps_formants: Whether the spectral envelope stays, as for a voice that sings another
            note; otherwise it moves with the pitch, as on a faster tape.
        has_low_notes: Whether chords below 200 Hz matter.
    """

    def __init__(
        self,
        semitones: float,
        sample_rate_hz: int,
        channels: int,
        *,
        keeps_formants: bool = False,
        has_low_notes: bool = False,
    ) -> None:
        options = (
            Option.PROCESS_REALTIME
            | Option.ENGINE_FINER
            | Option.PitchHighQuality  # type: ignore[attr-defined]  # the stub has another name
            | Option.CHANNELS_TOGETHER
            | Option.THREADING_NEVER
        )
        if not has_low_notes and abs(semitones) <= _SHORT_WINDOW_SEMITONES:
            options |= Option.WINDOW_SHORT
        if keeps_formants:
            options |= Option.FORMANT_PRESERVED
        self._channels = channels
        self._stretcher = RubberBandStretcher(
            sample_rate_hz, channels, options, 1.0, 2.0 ** (semitones / 12.0)
        )
        self._stretcher.set_max_process_size(_BLOCK_FRAMES)
        self._blocks = FixedBlocks(channels, _BLOCK_FRAMES, self._shift)
        self._frames_due = 0
        pad = self._stretcher.get_preferred_start_pad()
        self._frames_to_drop = self._stretcher.get_start_delay()
        self._early = self._blocks.process(silence(channels, pad))

    def process(self, block: Samples) -> Samples:
        """Returns what is ready, shifted; at most as many frames as came in so far."""
        self._frames_due += block.shape[1]
        shifted = self._blocks.process(block)
        if self._early.shape[1]:
            shifted = np.concatenate((self._early, shifted), axis=1)
            self._early = empty(self._channels)
        return self._compensated(shifted)

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        parts = [self.process(empty(self._channels))]
        while self._frames_due > 0:
            parts.append(
                self._compensated(self._blocks.process(silence(self._channels, _BLOCK_FRAMES)))
            )
        return np.concatenate(parts, axis=1)

    def _compensated(self, shifted: Samples) -> Samples:
        dropped = min(self._frames_to_drop, shifted.shape[1])
        self._frames_to_drop -= dropped
        ready = shifted[:, dropped:]
        if ready.shape[1] > self._frames_due:
            # At a shift down, the stretcher may run ahead of its delay at a block's edge; what is
            # not due yet waits.
            self._early = ready[:, self._frames_due :]
            ready = ready[:, : self._frames_due]
        self._frames_due -= ready.shape[1]
        return ready

    def _shift(self, block: Samples) -> Samples:
        self._stretcher.process(np.ascontiguousarray(block))
        shifted: Samples = self._stretcher.retrieve_available()
        return shifted

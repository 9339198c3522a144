"""The chain of effects of one target.

The order is fixed: pitch → filters → equaliser → compression → gain → pan → reverb. Tone comes
before the compressor, so that it hears what listeners hear; the fader and the position come after
it, so that they do not change how it works; the room is last, so that it hears the sound where it
stands. A muted target is silent, whatever else is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixdown.mix import MASTER, TargetSettings
from services.remixer.effects import reverb
from services.remixer.effects.compression import STEM_OFFSET_LU, TYPICAL_LUFS, Compression
from services.remixer.effects.equaliser import Equaliser
from services.remixer.effects.filters import Filters
from services.remixer.effects.gain import Gain, Mute
from services.remixer.effects.pan import Pan
from services.remixer.effects.pitch import Pitch
from services.remixer.effects.processor import Processor, empty
from services.remixer.effects.reverb import Reverb
from services.runtime.audio.reader import Samples

_VOCALS = "vocals"
_LOW_NOTES = {MASTER, "bass"}


class Chain:
    """Processors one after another; itself a processor. Without any, it changes nothing."""

    def __init__(self, processors: Sequence[Processor], channels: int) -> None:
        self._processors = tuple(processors)
        self._channels = channels
        self.tail_frames = sum(processor.tail_frames for processor in processors)

    def process(self, block: Samples) -> Samples:
        """Returns the frames that come out of the last processor."""
        for processor in self._processors:
            block = processor.process(block)
        return block

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        rest = empty(self._channels)
        for processor in self._processors:
            rest = np.concatenate((processor.process(rest), processor.finish()), axis=1)
        return rest


def effective(settings: TargetSettings, channels: int) -> TargetSettings:
    """Returns `settings` without what cannot be heard, so that equal sounds compare equal."""
    if settings.muted:
        return TargetSettings(muted=True)
    return replace(
        settings,
        pan=settings.pan if channels > 1 else 0.0,
        eq=tuple(band for band in settings.eq if band.gain_db != 0.0),
    )


def tail_frames(settings: TargetSettings, sample_rate_hz: int) -> int:
    """Returns by how many frames the settings make a sound longer."""
    return 0 if settings.muted else reverb.tail_frames(settings.reverb, sample_rate_hz)


def build_chain(
    target: str,
    settings: TargetSettings,
    sample_rate_hz: int,
    channels: int,
    track_lufs: float = TYPICAL_LUFS,
) -> Chain:
    """Returns the chain for `settings`, with only the effects that are not neutral.

    Args:
        target: A stem's name or `MASTER`.
        settings: Its settings.
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
        track_lufs: Integrated loudness of the original, which compression is relative to.
    """
    if settings.muted:
        return Chain([Mute(channels)], channels)
    processors: list[Processor] = []
    if settings.pitch_semitones:
        processors.append(
            Pitch(
                settings.pitch_semitones,
                sample_rate_hz,
                channels,
                keeps_formants=target == _VOCALS,
                has_low_notes=target in _LOW_NOTES,
            )
        )
    if settings.filters:
        processors.append(Filters(settings.filters, sample_rate_hz, channels))
    if settings.eq:
        processors.append(Equaliser(settings.eq, sample_rate_hz, channels))
    if settings.compression != "none":
        reference_lufs = track_lufs + (0.0 if target == MASTER else STEM_OFFSET_LU)
        processors.append(
            Compression(settings.compression, sample_rate_hz, channels, reference_lufs)
        )
    if settings.gain_db:
        processors.append(Gain(settings.gain_db, channels))
    if settings.pan:
        processors.append(Pan(settings.pan, channels))
    if settings.reverb:
        processors.append(Reverb(settings.reverb, sample_rate_hz, channels))
    return Chain(processors, channels)

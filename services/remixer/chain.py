"""The chain of effects of one target.

The order is fixed: pitch → filters and equaliser → distortion → compression → chorus → width → gain
→ pan → echo → reverb → fades. Tone comes before the distortion and the compressor, so that they
hear what listeners hear; the fader and the position come after them, so that they do not change how
they work; the room is last, so that it hears the sound where it stands. A muted target is silent,
whatever else is set.

A target with passages has one chain all the same: only effects that change take turns at the
borders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mixdown.mix import MASTER, Passage, TargetSettings
from services.remixer.effects import reverb
from services.remixer.effects.biquads import Biquads
from services.remixer.effects.chorus import Chorus, chorus_tail_frames
from services.remixer.effects.compression import STEM_OFFSET_LU, TYPICAL_LUFS, Compression
from services.remixer.effects.distortion import Distortion
from services.remixer.effects.echo import Echoes, echo_tail_frames
from services.remixer.effects.equaliser import equaliser_sections
from services.remixer.effects.fades import Fade, Fader
from services.remixer.effects.filters import filter_sections
from services.remixer.effects.gain import Gain, Mute
from services.remixer.effects.pan import Pan
from services.remixer.effects.pitch import Pitch
from services.remixer.effects.processor import Processor, empty
from services.remixer.effects.reverb import Reverberation
from services.remixer.effects.sends import Ringing, Send, ringing_length
from services.remixer.effects.switch import Switch
from services.remixer.effects.width import Width
from services.remixer.timeline import Setting, Timeline
from services.runtime.audio.reader import Samples

_VOCALS = "vocals"
_LOW_NOTES = {MASTER, "bass"}


@dataclass(frozen=True)
class Track:
    """What a chain must know of the track.

    Args:
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
        frames: Its length, where fades out and passages without an end, end.
        lufs: Integrated loudness of the original, which compression and distortion are relative to.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    lufs: float = TYPICAL_LUFS


class Chain:
    """Processors one after another; itself a processor. Without any, it changes nothing."""

    def __init__(self, processors: Sequence[Processor], channels: int) -> None:
        self._processors = tuple(processors)
        self._channels = channels

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


@dataclass(frozen=True)
class _Insert:
    """An effect that a sound goes through: what it depends on, and what makes it."""

    setting: Setting
    make: Callable[[TargetSettings], Processor]


@dataclass(frozen=True)
class _Wet:
    """An effect that is added to a sound: what it depends on, what makes it, how long it rings."""

    setting: Setting
    make: Callable[[TargetSettings], Ringing]
    tail_frames: Callable[[TargetSettings], int]


def effective(settings: TargetSettings, channels: int, track_seconds: float) -> TargetSettings:
    """Returns `settings` without what cannot be heard, so that equal sounds compare equal.

    Args:
        settings: The settings at every point in time.
        channels: Channels of the track.
        track_seconds: Its length.
    """
    outside = _effective_now(settings, channels)
    passages = []
    for passage in settings.passages:
        if passage.start_s >= track_seconds:
            continue
        inside = _effective_now(passage.settings, channels)
        if inside.muted:
            # Silent anyway; alike in the rest, so that only the fader has anything to do.
            inside = replace(outside.outside, muted=True)
        # A fade out ends where it was said to end, also behind the end of the track.
        to_end = passage.stop_s >= track_seconds and not inside.fade_out_s
        end_s = None if to_end else passage.end_s
        passages.append(Passage(passage.start_s, end_s, inside))
    return replace(outside, passages=tuple(passages))


def _effective_now(settings: TargetSettings, channels: int) -> TargetSettings:
    if settings.muted:
        return TargetSettings(muted=True)
    neutral = TargetSettings()
    return replace(
        settings,
        pan=settings.pan if channels > 1 else neutral.pan,
        width=settings.width if channels > 1 else neutral.width,
        eq=tuple(band for band in settings.eq if band.gain_db != 0.0),
        echo_time_ms=settings.echo_time_ms if settings.echo else neutral.echo_time_ms,
        echo_feedback=settings.echo_feedback if settings.echo else neutral.echo_feedback,
        passages=(),
    )


def output_frames(settings: TargetSettings, track: Track, frames: int) -> int:
    """Returns how long a sound of `frames` frames is behind the chain for `settings`."""
    if _is_silent(settings):
        return frames
    timeline = Timeline(settings, track.sample_rate_hz)
    if any(
        held.chorus and (curve.stop is None or curve.stop > frames)
        for held, curve in timeline.values(lambda held: held.chorus)
    ):
        frames += chorus_tail_frames(track.sample_rate_hz)
    for wet in _wets(track):
        rings = [
            (curve, wet.tail_frames(held))
            for held, curve in timeline.values(wet.setting)
            if wet.setting(held) is not None
        ]
        frames = ringing_length(frames, rings)
    return min(frames, track.frames) if settings.fade_out_s else frames


def build_chain(target: str, settings: TargetSettings, track: Track) -> Chain:
    """Returns the chain for `settings`, with only the effects that are not neutral.

    Args:
        target: A stem's name or `MASTER`.
        settings: Its settings.
        track: The track.
    """
    channels = track.channels
    if _is_silent(settings):
        return Chain([Mute(channels)], channels)
    timeline = Timeline(settings, track.sample_rate_hz)
    processors: list[Processor] = []
    before, after = _inserts(target, track)
    for insert in before:
        processors += _inserted(insert, timeline, track)
    processors += _gain(timeline, track)
    for insert in after:
        processors += _inserted(insert, timeline, track)
    for wet in _wets(track):
        processors += _sent(wet, timeline, channels)
    if settings.fade_in_s or settings.fade_out_s:
        in_frames, out_frames = (
            round(seconds * track.sample_rate_hz)
            for seconds in (settings.fade_in_s, settings.fade_out_s)
        )
        processors.append(Fade(in_frames, out_frames, track.frames, channels))
    return Chain(processors, channels)


def _is_silent(settings: TargetSettings) -> bool:
    return settings.muted and not settings.passages


def _inserted(insert: _Insert, timeline: Timeline, track: Track) -> list[Processor]:
    values = timeline.values(insert.setting)
    if len(values) == 1:
        ((held, _),) = values
        return [] if insert.setting(held) is None else [insert.make(held)]
    branches = [
        (None if insert.setting(held) is None else partial(insert.make, held), curve)
        for held, curve in values
    ]
    return [Switch(branches, track.sample_rate_hz, track.channels)]


def _sent(wet: _Wet, timeline: Timeline, channels: int) -> list[Processor]:
    values = timeline.values(wet.setting)
    wets = [
        (wet.make(held), curve if len(values) > 1 else None)
        for held, curve in values
        if wet.setting(held) is not None
    ]
    return [Send(wets, channels)] if wets else []


def _gain(timeline: Timeline, track: Track) -> list[Processor]:
    (held, _), *others = timeline.values(_fader)
    if others or held.fade_in_s or held.fade_out_s:
        return [Fader(timeline, track.frames, track.sample_rate_hz, track.channels)]
    if held.muted:
        return [Mute(track.channels)]
    return [Gain(held.gain_db, track.channels)] if held.gain_db else []


def _fader(settings: TargetSettings) -> tuple[float, bool, float, float]:
    return settings.gain_db, settings.muted, settings.fade_in_s, settings.fade_out_s


def _inserts(target: str, track: Track) -> tuple[list[_Insert], list[_Insert]]:
    """Returns the effects before and behind the fader, in order."""
    rate_hz, channels = track.sample_rate_hz, track.channels
    reference_lufs = track.lufs + (0.0 if target == MASTER else STEM_OFFSET_LU)
    keeps_formants, has_low_notes = target == _VOCALS, target in _LOW_NOTES

    def pitch(held: TargetSettings) -> Processor:
        return Pitch(
            held.pitch_semitones,
            rate_hz,
            channels,
            keeps_formants=keeps_formants,
            has_low_notes=has_low_notes,
        )

    def tone(held: TargetSettings) -> Processor:
        sections = filter_sections(held.filters, rate_hz), equaliser_sections(held.eq, rate_hz)
        return Biquads(np.concatenate(sections), channels)

    def compression(held: TargetSettings) -> Processor:
        return Compression(held.compression, rate_hz, channels, reference_lufs)

    before = [
        _Insert(lambda held: held.pitch_semitones or None, pitch),
        _Insert(lambda held: (held.filters, held.eq) if held.filters or held.eq else None, tone),
        _Insert(
            lambda held: held.distortion or None,
            lambda held: Distortion(held.distortion, rate_hz, channels, reference_lufs),
        ),
        _Insert(lambda held: None if held.compression == "none" else held.compression, compression),
        _Insert(
            lambda held: held.chorus or None, lambda held: Chorus(held.chorus, rate_hz, channels)
        ),
        _Insert(
            lambda held: None if held.width == 1.0 else held.width,
            lambda held: Width(held.width, channels),
        ),
    ]
    return before, [_Insert(lambda held: held.pan or None, lambda held: Pan(held.pan, channels))]


def _wets(track: Track) -> list[_Wet]:
    """Returns what is added to the sound, in order."""
    rate_hz, channels = track.sample_rate_hz, track.channels

    def echo(held: TargetSettings) -> tuple[float, float, float]:
        return held.echo, held.echo_time_ms, held.echo_feedback

    return [
        _Wet(
            lambda held: echo(held) if held.echo else None,
            lambda held: Echoes(*echo(held), rate_hz, channels),
            lambda held: echo_tail_frames(*echo(held), rate_hz),
        ),
        _Wet(
            lambda held: held.reverb or None,
            lambda held: Reverberation(held.reverb, rate_hz, channels),
            lambda held: reverb.tail_frames(held.reverb, rate_hz),
        ),
    ]

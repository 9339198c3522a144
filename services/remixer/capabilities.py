"""What can be rendered, for those who ask."""

from __future__ import annotations

from dataclasses import dataclass

from mixdown.mix import COMPRESSION_LEVELS, RANGES


@dataclass(frozen=True)
class Effect:
    """A setting of a target.

    Args:
        setting: Its name.
        description: What it does.
        unit: "dB", "Hz", "semitones", or "" for a plain number.
        minimum: The lowest value, for numbers.
        maximum: The highest value, for numbers.
        neutral: The value that changes nothing, for numbers.
        choices: The possible values, for choices.
    """

    setting: str
    description: str
    unit: str = ""
    minimum: float = 0.0
    maximum: float = 0.0
    neutral: float = 0.0
    choices: tuple[str, ...] = ()


_NUMBERS = {
    "gain_db": "Loudness.",
    "pan": "Position, left to right, at constant power; on the mix the balance.",
    "reverb": "Amount of reverb: more is a larger and louder room. The dry level stays.",
    "pitch_semitones": "Pitch; the length stays. Vocals keep their formants.",
    "eq.frequency_hz": "Centre or corner of a band of the equaliser.",
    "eq.gain_db": "Gain of a band of the equaliser.",
    "eq.q": "Quality factor of a band of the equaliser.",
    "filters.cutoff_hz": "Corner (−3 dB) of a low-pass or high-pass, 24 dB per octave.",
    "echo": "Amount of echo: how loud the first one is. The dry level stays.",
    "echo_time_ms": "Time from one echo to the next.",
    "echo_feedback": "How loud an echo is next to the one before.",
    "chorus": "Amount of chorus: two voices, late and a little out of tune.",
    "distortion": "Amount of distortion, from saturation to overdrive, at the same loudness.",
    "width": "Stereo width, from mono to twice the difference between left and right.",
    "fade_in_s": "Fade from silence at the beginning of the track or of a passage.",
    "fade_out_s": "Fade to silence at the end of the track or of a passage.",
    "passages.start_s": "Where other settings begin to hold for a while.",
    "passages.end_s": "Where they end; unset, with the track.",
}


def effects() -> tuple[Effect, ...]:
    """Returns every setting of a target with its range."""
    numbers = [
        Effect(
            name,
            description,
            RANGES[name].unit,
            RANGES[name].minimum,
            RANGES[name].maximum,
            RANGES[name].neutral,
        )
        for name, description in _NUMBERS.items()
    ]
    corners = RANGES["filters.cutoff_hz"]
    band = [
        Effect(
            f"filters.{name}",
            f"{side} corner (−3 dB) of a band-pass, 24 dB per octave.",
            corners.unit,
            corners.minimum,
            corners.maximum,
            corners.neutral,
        )
        for name, side in (("low_hz", "Lower"), ("high_hz", "Upper"))
    ]
    choices = [
        Effect("muted", "Silences the target.", choices=("false", "true")),
        Effect("compression", "How much the dynamic range shrinks.", choices=COMPRESSION_LEVELS),
        Effect("eq.type", "Shape of a band.", choices=("peak", "low_shelf", "high_shelf")),
        Effect("filters.type", "Shape of a filter.", choices=("lowpass", "highpass", "bandpass")),
    ]
    return (*numbers, *band, *choices)

"""Translates the mix and its outputs to protobuf and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from mixdown.mix.mix import Mix
from mixdown.mix.outputs import Output, OutputKind
from mixdown.mix.ranges import MixOutOfRangeError
from mixdown.mix.settings import (
    NEUTRAL,
    Compression,
    EqBand,
    EqType,
    Filter,
    FilterType,
    Passage,
    TargetSettings,
)
from mixdown.mix.v1 import mix_pb2

_Enum = TypeVar("_Enum")
_Name = TypeVar("_Name", bound=str)

_COMPRESSION: dict[mix_pb2.Compression.ValueType, Compression] = {
    mix_pb2.COMPRESSION_UNSPECIFIED: "none",
    mix_pb2.COMPRESSION_LOW: "low",
    mix_pb2.COMPRESSION_MEDIUM: "medium",
    mix_pb2.COMPRESSION_HIGH: "high",
}
_EQ_TYPES: dict[mix_pb2.EqBand.Type.ValueType, EqType] = {
    mix_pb2.EqBand.TYPE_PEAK: "peak",
    mix_pb2.EqBand.TYPE_LOW_SHELF: "low_shelf",
    mix_pb2.EqBand.TYPE_HIGH_SHELF: "high_shelf",
}
_FILTER_TYPES: dict[mix_pb2.Filter.Type.ValueType, FilterType] = {
    mix_pb2.Filter.TYPE_LOWPASS: "lowpass",
    mix_pb2.Filter.TYPE_HIGHPASS: "highpass",
    mix_pb2.Filter.TYPE_BANDPASS: "bandpass",
}
_OUTPUT_KINDS: dict[mix_pb2.Output.Kind.ValueType, OutputKind] = {
    mix_pb2.Output.KIND_UNSPECIFIED: "mix",
    mix_pb2.Output.KIND_MIX: "mix",
    mix_pb2.Output.KIND_STEM: "stem",
    mix_pb2.Output.KIND_WITHOUT: "without",
}

_OPTIONAL: tuple[Literal["echo_time_ms", "echo_feedback", "width"], ...] = (
    "echo_time_ms",
    "echo_feedback",
    "width",
)
"""Settings whose neutral value is not zero: unset stands for it."""


def mix_from_message(message: mix_pb2.Mix) -> Mix:
    """Reads a mix. Raises MixOutOfRangeError for an enum value without a meaning."""
    return Mix(
        {target: settings_from_message(target, item) for target, item in message.targets.items()}
    )


def mix_to_message(mix: Mix) -> mix_pb2.Mix:
    """Writes a mix."""
    return mix_pb2.Mix(
        targets={target: settings_to_message(item) for target, item in mix.targets.items()}
    )


def settings_from_message(target: str, message: mix_pb2.TargetSettings) -> TargetSettings:
    """Reads the settings of `target`, whose name is for the error messages."""
    if message.compression not in _COMPRESSION:
        raise MixOutOfRangeError(target, "compression", message.compression, "a known level")
    return TargetSettings(
        gain_db=message.gain_db,
        muted=message.muted,
        pan=message.pan,
        reverb=message.reverb,
        pitch_semitones=message.pitch_semitones,
        compression=_COMPRESSION[message.compression],
        eq=tuple(eq_band_from_message(target, band) for band in message.eq),
        filters=tuple(filter_from_message(target, item) for item in message.filters),
        echo=message.echo,
        **{name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)},
        chorus=message.chorus,
        distortion=message.distortion,
        fade_in_s=message.fade_in_s,
        fade_out_s=message.fade_out_s,
        passages=tuple(_passage_from_message(target, item) for item in message.passages),
    )


def _passage_from_message(target: str, message: mix_pb2.Passage) -> Passage:
    return Passage(
        start_s=message.start_s,
        end_s=message.end_s if message.HasField("end_s") else None,
        settings=settings_from_message(target, message.settings),
    )


def eq_band_from_message(target: str, message: mix_pb2.EqBand) -> EqBand:
    """Reads a band. A Q of 0 means 1.0."""
    if message.type not in _EQ_TYPES:
        raise MixOutOfRangeError(target, "eq.type", message.type, "a known type")
    return EqBand(
        type=_EQ_TYPES[message.type],
        frequency_hz=message.frequency_hz,
        gain_db=message.gain_db,
        q=message.q or 1.0,
    )


def filter_from_message(target: str, message: mix_pb2.Filter) -> Filter:
    """Reads a filter."""
    if message.type not in _FILTER_TYPES:
        raise MixOutOfRangeError(target, "filters.type", message.type, "a known type")
    if message.type == mix_pb2.Filter.TYPE_BANDPASS:
        return Filter("bandpass", low_hz=message.low_hz, high_hz=message.high_hz)
    return Filter(_FILTER_TYPES[message.type], cutoff_hz=message.cutoff_hz)


def eq_band_to_message(band: EqBand) -> mix_pb2.EqBand:
    """Writes a band."""
    return mix_pb2.EqBand(
        type=_value(_EQ_TYPES, band.type),
        frequency_hz=band.frequency_hz,
        gain_db=band.gain_db,
        q=band.q,
    )


def filter_to_message(item: Filter) -> mix_pb2.Filter:
    """Writes a filter."""
    return mix_pb2.Filter(
        type=_value(_FILTER_TYPES, item.type),
        cutoff_hz=item.cutoff_hz or 0.0,
        low_hz=item.low_hz or 0.0,
        high_hz=item.high_hz or 0.0,
    )


def compression_from_message(value: mix_pb2.Compression.ValueType) -> Compression:
    """Reads a level of compression. Raises MixOutOfRangeError for an unknown one."""
    if value not in _COMPRESSION:
        raise MixOutOfRangeError("", "compression", value, "a known level")
    return _COMPRESSION[value]


def compression_to_message(level: Compression) -> mix_pb2.Compression.ValueType:
    """Writes a level of compression."""
    return _value(_COMPRESSION, level)


def output_from_message(message: mix_pb2.Output) -> Output:
    """Reads an output. Raises ValueError where kind and stems do not fit."""
    if message.kind not in _OUTPUT_KINDS:
        raise ValueError(f"unknown kind of output: {message.kind}")
    return Output(_OUTPUT_KINDS[message.kind], tuple(message.stems))


def output_to_message(output: Output) -> mix_pb2.Output:
    """Writes an output."""
    kinds = {
        "mix": mix_pb2.Output.KIND_MIX,
        "stem": mix_pb2.Output.KIND_STEM,
        "without": mix_pb2.Output.KIND_WITHOUT,
    }
    return mix_pb2.Output(kind=kinds[output.kind], stems=output.stems)


def settings_to_message(settings: TargetSettings) -> mix_pb2.TargetSettings:
    """Writes the settings of a target. What is neutral is left unset."""
    message = mix_pb2.TargetSettings(
        gain_db=settings.gain_db,
        muted=settings.muted,
        pan=settings.pan,
        reverb=settings.reverb,
        pitch_semitones=settings.pitch_semitones,
        compression=compression_to_message(settings.compression),
        eq=[eq_band_to_message(band) for band in settings.eq],
        filters=[filter_to_message(item) for item in settings.filters],
        echo=settings.echo,
        chorus=settings.chorus,
        distortion=settings.distortion,
        fade_in_s=settings.fade_in_s,
        fade_out_s=settings.fade_out_s,
        passages=[_passage_to_message(passage) for passage in settings.passages],
    )
    for name in _OPTIONAL:
        if getattr(settings, name) != getattr(NEUTRAL, name):
            setattr(message, name, getattr(settings, name))
    return message


def _passage_to_message(passage: Passage) -> mix_pb2.Passage:
    return mix_pb2.Passage(
        start_s=passage.start_s,
        end_s=passage.end_s,
        settings=settings_to_message(passage.settings),
    )


def _value(names: Mapping[_Enum, _Name], name: str) -> _Enum:
    return next(value for value, candidate in names.items() if candidate == name)

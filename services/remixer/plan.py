"""What a render needs: which stems, which files, how long, and under which key they are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mixdown.mix import MASTER, Mix, Output
from mixdown.mix import MixOutOfRangeError as MixRangeError
from mixdown.mix import UnknownTargetError as MixTargetError
from services.remixer import chain
from services.remixer.effects.compression import TYPICAL_LUFS
from services.remixer.errors import (
    MixOutOfRangeError,
    NoOutputsError,
    UnknownStemError,
    UnknownTargetError,
)
from services.remixer.loudness_target import LOUDEST_LUFS, QUIETEST_LUFS
from services.remixer.provenance import describe
from services.remixer.resample import resampled_frames
from services.runtime.audio.formats import Encoding, FileFormat, file_format
from services.runtime.audio.reader import AudioProperties
from services.runtime.blobs import Blob
from services.runtime.errors import UnsupportedFormatError

RENDER_VERSION = 12
"""Raised whenever a request gives other bytes than before, so that old files are not used."""


@dataclass(frozen=True)
class RenderRequest:
    """What to render.

    Args:
        track: The original, in the blob store.
        mix: The whole mix.
        outputs: Files to hand out.
        encoding: None chooses a lossless one that fits the original.
        bitrate_kbps: For lossy encodings; 0 for the default.
        loudness_lufs: Integrated loudness that the mix is brought to; None leaves it.
        model: Separation model; empty for the separator's default.
        offsets_bytes: Bytes that the caller has already, by name of output.
        background: Whether nobody listens or waits meanwhile.
    """

    track: Blob
    mix: Mix
    outputs: tuple[Output, ...]
    encoding: Encoding | None = None
    bitrate_kbps: int = 0
    loudness_lufs: float | None = None
    model: str = ""
    offsets_bytes: Mapping[str, int] = field(default_factory=dict)
    background: bool = False

    def __post_init__(self) -> None:
        if not self.outputs:
            raise NoOutputsError("A render needs at least one output.")
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise NoOutputsError(f"The outputs repeat: {', '.join(names)}.")
        lufs = self.loudness_lufs
        if lufs is not None and not QUIETEST_LUFS <= lufs <= LOUDEST_LUFS:
            raise UnsupportedFormatError(
                f"A loudness of {lufs:g} LUFS is not supported: it must lie between "
                f"{QUIETEST_LUFS:g} and {LOUDEST_LUFS:g}.",
                metadata={"loudness_lufs": str(lufs)},
            )

    @property
    def names_stems(self) -> bool:
        """Whether anything in it is about stems, so that the model must be known."""
        return any(target != MASTER for target in self.mix.targets) or any(
            output.stems for output in self.outputs
        )


@dataclass(frozen=True)
class PlannedOutput:
    """One file to make.

    Args:
        output: What it holds.
        file_format: How it is encoded.
        sample_rate_hz: Its rate; the original's where the encoding knows it.
        channels: Its channels: the original's.
        frames: Samples per channel at the original's rate, tails included.
        file_frames: Samples per channel in the file.
        key: Name of the record that tells of the file once it is made.
        done: What was done to the original, for its comment tag; "" for nothing.
        loudness_lufs: Integrated loudness that it is brought to; None leaves it.
        model: The separation model whose stems it is made of; "" for none.
    """

    output: Output
    file_format: FileFormat
    sample_rate_hz: int
    channels: int
    frames: int
    file_frames: int
    key: str
    done: str = ""
    loudness_lufs: float | None = None
    model: str = ""


def check(request: RenderRequest, model: str, stems: Iterable[str]) -> None:
    """Checks a request against the stems of the model.

    Raises:
        UnknownStemError: an output names a stem that is none.
        UnknownTargetError: the mix has a target that is neither a stem nor the master bus.
        MixOutOfRangeError: a setting is out of its range.
    """
    known = tuple(stems)
    try:
        request.mix.check(known)
    except MixTargetError as error:
        raise UnknownTargetError(
            f"There is no target {error.target!r}; there are {', '.join(error.known)}.",
            metadata={"target": error.target, "known": ", ".join(error.known)},
        ) from error
    except MixRangeError as error:
        raise MixOutOfRangeError(
            f"{error}.",
            metadata={
                "target": error.target,
                "setting": error.setting,
                "value": str(error.value),
                "rule": error.rule,
            },
        ) from error
    for output in request.outputs:
        for stem in output.stems:
            if stem not in known:
                raise UnknownStemError(stem, model, known)


def audible_mix(mix: Mix, properties: AudioProperties) -> Mix:
    """Returns `mix` without what cannot be heard on a track with these properties."""
    seconds = properties.frames / properties.sample_rate_hz
    heard = {
        name: chain.effective(item, properties.channels, seconds)
        for name, item in mix.targets.items()
    }
    master = heard.get(MASTER)
    if master is not None and master.muted and not master.passages:
        return Mix({MASTER: master})
    return Mix(heard)


def notes(mix: Mix, properties: AudioProperties) -> tuple[str, ...]:
    """Tells, for people, what of `mix` lies behind the end of the track."""
    seconds = properties.frames / properties.sample_rate_hz
    frame_seconds = 1.0 / properties.sample_rate_hz
    return tuple(
        f"the passage of {target} from {passage.start_s:g} s "
        + (f"to {passage.end_s:g} s " if passage.end_s is not None else "")
        + ("lies behind" if passage.start_s >= seconds else "reaches beyond")
        + f" the end of the track at {seconds:.2f} s"
        for target, settings in mix.targets.items()
        for passage in settings.passages
        if passage.start_s >= seconds or (passage.end_s or 0.0) >= seconds + frame_seconds
    )


def track_of(properties: AudioProperties, lufs: float | None) -> chain.Track:
    """Returns what chains must know of a track whose integrated loudness is `lufs`."""
    return chain.Track(
        properties.sample_rate_hz,
        properties.channels,
        properties.frames,
        TYPICAL_LUFS if lufs is None else lufs,
    )


def edited_stems(mix: Mix) -> tuple[str, ...]:
    """Returns the stems whose settings are not neutral, in order of their names."""
    return tuple(target for target in mix.targets if target != MASTER)


def needed_stems(mix: Mix, outputs: Iterable[Output]) -> tuple[str, ...]:
    """Returns the stems that `outputs` of an audible mix are made of, in order of their names."""
    needed: set[str] = set()
    for output in outputs:
        needed.update(edited_stems(mix) if output.kind == "mix" else output.stems)
    return tuple(sorted(needed))


def plan_output(
    request: RenderRequest, mix: Mix, output: Output, properties: AudioProperties, model: str
) -> PlannedOutput:
    """Plans one file of a checked request.

    Args:
        request: The request.
        mix: Its audible mix.
        output: What the file holds.
        properties: What the original is.
        model: The separation model, resolved; "" where no stem is needed.

    Raises:
        UnsupportedFormatError: the bit rate does not go with the encoding.
    """
    encoding = request.encoding or default_encoding(properties)
    written = file_format(encoding, request.bitrate_kbps)
    rate_hz = properties.sample_rate_hz
    file_rate_hz = written.rate_for(rate_hz)
    frames = output_frames(mix, output, properties)
    loudness_lufs = request.loudness_lufs if output.kind == "mix" else None
    done = describe(heard_mix(mix, output), output, model)
    if loudness_lufs is not None:
        done = f"{done or 'Mixdown:'} at {loudness_lufs:g} LUFS"
    model = model if needed_stems(mix, [output]) else ""
    return PlannedOutput(
        output=output,
        file_format=written,
        sample_rate_hz=file_rate_hz,
        channels=properties.channels,
        frames=frames,
        file_frames=resampled_frames(frames, rate_hz, file_rate_hz),
        key=_key(request.track, mix, output, written, model, loudness_lufs),
        done=done,
        loudness_lufs=loudness_lufs,
        model=model,
    )


def default_encoding(properties: AudioProperties) -> Encoding:
    """Returns the lossless encoding that fits the original.

    WAV at its depth for a WAV or AIFF original (floats for 32 bits, which 24 would not hold);
    FLAC with 24 bits for every other.
    """
    if properties.container.split(",")[0] not in {"wav", "w64", "aiff"}:
        return Encoding.FLAC24
    return {"int16": Encoding.WAV_PCM16, "int24": Encoding.WAV_PCM24}.get(
        properties.sample_format or "", Encoding.WAV_FLOAT32
    )


def output_frames(mix: Mix, output: Output, properties: AudioProperties) -> int:
    """Returns how many frames an output has at the original's rate, tails included."""
    track = track_of(properties, None)
    if output.kind == "without":
        return track.frames
    if output.kind == "stem":
        return chain.output_frames(mix[output.stems[0]], track, track.frames)
    stems = (chain.output_frames(mix[stem], track, track.frames) for stem in edited_stems(mix))
    return chain.output_frames(mix[MASTER], track, max(stems, default=track.frames))


def heard_mix(mix: Mix, output: Output) -> Mix:
    """Returns the settings that an output is made with."""
    if output.kind == "mix":
        return mix
    return Mix({stem: mix[stem] for stem in output.stems} if output.kind == "stem" else {})


def _key(
    track: Blob,
    mix: Mix,
    output: Output,
    written: FileFormat,
    model: str,
    loudness_lufs: float | None,
) -> str:
    """Names a file by everything that its bytes depend on, and nothing else."""
    document = {
        "version": RENDER_VERSION,
        "track": track.sha256,
        "model": model,
        "kind": output.kind,
        "stems": sorted(output.stems),
        "mix": heard_mix(mix, output).to_dict(),
        "encoding": written.encoding.value,
        "bitrate_kbps": written.bitrate_kbps,
        "loudness_lufs": loudness_lufs,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"renders/{track.sha256}/{hashlib.sha256(text.encode()).hexdigest()}"

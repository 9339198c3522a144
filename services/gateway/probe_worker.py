"""Decodes one file of a stranger, in a process of its own with little memory and time.

    python -m services.gateway.probe_worker LIMITS < FILE

LIMITS is a JSON object, see `Limits`. Prints one JSON object: {"audio": {…}, "levels": {…},
"loudness": {…}} with the fields of `AudioProperties`, `Levels` and `Loudness` (null where there is
none), or {"reason": …, "message": …}. What else goes wrong (the file makes the decoder crash, eat
memory or time) ends this process and nothing else.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from services.gateway.confinement import forbid_network_and_programs


@dataclass(frozen=True)
class Limits:
    """What a track may be, and what its check may cost.

    Args:
        track_seconds: Longest length; decoding stops there.
        minimum_sample_rate_hz: Lowest sampling rate.
        maximum_sample_rate_hz: Highest sampling rate.
        channels: Most channels.
        memory_bytes: Address space of the process.
        cpu_seconds: Time on the processor.
    """

    track_seconds: float
    minimum_sample_rate_hz: int
    maximum_sample_rate_hz: int
    channels: int
    memory_bytes: int
    cpu_seconds: int


def confine(limits: Limits) -> None:
    """Gives up what decoding does not need: memory, time, writing files, network, programs."""
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    forbid_network_and_programs()


def examine(file: BinaryIO, limits: Limits) -> dict[str, Any]:
    """Decodes `file` as far as `limits` allow, and returns what is printed."""
    # Imported here, when memory is limited already: the libraries count too.
    from services.runtime.audio.finite import finite
    from services.runtime.audio.levels import LEVEL_BLOCK_FRAMES, LEVEL_RATE_HZ, LevelMeter
    from services.runtime.audio.loudness import LoudnessMeter, is_measurable
    from services.runtime.audio.rate import RateChange
    from services.runtime.audio.reader import AudioReader
    from services.runtime.errors import UndecodableAudioError

    try:
        with AudioReader(file) as reader:
            if complaint := _complaint(reader.sample_rate_hz, reader.channels, limits):
                return {"reason": "UNSUPPORTED_AUDIO", "message": complaint}
            shape = reader.sample_rate_hz, reader.channels
            frames = 0
            levels = LevelMeter()
            rate = RateChange(reader.sample_rate_hz, LEVEL_RATE_HZ, reader.channels)
            loudness = LoudnessMeter(*shape) if is_measurable(*shape) else None
            for block in reader.blocks(LEVEL_BLOCK_FRAMES):
                frames += block.shape[1]
                levels.add(rate.process(block))
                if loudness is not None:
                    loudness.add(finite(block))
                if frames > limits.track_seconds * reader.sample_rate_hz:
                    return {
                        "reason": "UNSUPPORTED_AUDIO",
                        "message": f"A track may last {limits.track_seconds:g} seconds at most.",
                    }
            audio = reader.properties(frames)
            levels.add(rate.finish())
    except UndecodableAudioError as error:
        return {"reason": error.reason, "message": error.message}
    return {
        "audio": asdict(audio),
        "levels": asdict(levels.levels()),
        "loudness": None if loudness is None else asdict(loudness.result()),
    }


def _complaint(sample_rate_hz: int, channels: int, limits: Limits) -> str:
    if not limits.minimum_sample_rate_hz <= sample_rate_hz <= limits.maximum_sample_rate_hz:
        return (
            f"The sampling rate is {sample_rate_hz} Hz; a track has "
            f"{limits.minimum_sample_rate_hz} to {limits.maximum_sample_rate_hz} Hz."
        )
    if channels > limits.channels:
        return f"The file has {channels} channels; a track has {limits.channels} at most."
    return ""


def main() -> None:
    """Examines standard input."""
    limits = Limits(**json.loads(sys.argv[1]))
    confine(limits)
    json.dump(examine(sys.stdin.buffer, limits), sys.stdout)


if __name__ == "__main__":
    main()

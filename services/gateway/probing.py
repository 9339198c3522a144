"""Finds out what is in an uploaded file, at arm's length.

Decoders are large and old, and uploads come from strangers: they meet in a child process with
limits on memory and time and without network (`probe_worker`), which sees the file and nothing
else of ours.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import structlog

from mixdown.audio.v1 import audio_pb2
from services.gateway import metrics
from services.gateway.errors import UnsupportedAudioError
from services.gateway.probe_worker import Limits
from services.gateway.settings import GatewaySettings
from services.runtime import tracing
from services.runtime.audio.levels import Levels
from services.runtime.audio.loudness import Loudness
from services.runtime.audio.measured import Measured
from services.runtime.audio.reader import AudioProperties
from services.runtime.errors import UndecodableAudioError

_log = structlog.get_logger("mixdown.gateway.probing")

_SAMPLE_FORMATS = {
    None: audio_pb2.SAMPLE_FORMAT_UNSPECIFIED,
    "int16": audio_pb2.SAMPLE_FORMAT_INT16,
    "int24": audio_pb2.SAMPLE_FORMAT_INT24,
    "int32": audio_pb2.SAMPLE_FORMAT_INT32,
    "float32": audio_pb2.SAMPLE_FORMAT_FLOAT32,
}
_MAX_TAGS = 64
_MAX_TAG_CHARACTERS = 1024


@dataclass(frozen=True)
class Probed:
    """What decoding a file told.

    Args:
        audio: What is in it.
        levels: What separating it needs, at `LEVEL_RATE_HZ`.
        measured: What rendering it needs; None where there is no loudness of such audio.
    """

    audio: audio_pb2.AudioProperties
    levels: Levels
    measured: Measured | None


class Prober:
    """Probes uploaded files, a few at a time."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._seconds = settings.probe_limit_seconds
        self._limits = Limits(
            track_seconds=settings.track_limit_seconds,
            minimum_sample_rate_hz=settings.minimum_sample_rate_hz,
            maximum_sample_rate_hz=settings.maximum_sample_rate_hz,
            channels=settings.channel_limit,
            memory_bytes=settings.probe_limit_bytes,
            cpu_seconds=math.ceil(settings.probe_limit_seconds),
        )
        self._places = asyncio.Semaphore(settings.probe_concurrency)

    async def probe(self, file: BinaryIO) -> Probed:
        """Decodes `file` (a real one, with a descriptor) and tells what is in it.

        Raises:
            UndecodableAudioError: there is no audio in it, it is damaged, or reading it costs more
                memory or time than a track can.
            UnsupportedAudioError: rate, channels or length are beyond the limits.
        """
        async with self._places:
            with metrics.PROBE_SECONDS.time(), tracing.span("check of a file"):
                answer = await self._ask_worker(file)
        if "audio" in answer:
            return _probed(answer)
        if answer["reason"] == UnsupportedAudioError.reason:
            raise UnsupportedAudioError(answer["message"])
        raise UndecodableAudioError(answer["message"])

    async def _ask_worker(self, file: BinaryIO) -> dict[str, Any]:
        file.seek(0)
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.gateway.probe_worker",
            json.dumps(asdict(self._limits)),
            stdin=file,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Nothing of our environment: no address, no secret. One thread: numpy takes address
            # space for each.
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
        )
        try:
            output, _ = await asyncio.wait_for(worker.communicate(), self._seconds)
        except TimeoutError:
            _log.warning("probe_timed_out", seconds=self._seconds)
            raise UndecodableAudioError("Reading this file takes too long.") from None
        finally:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
        if worker.returncode != 0:
            _log.warning("probe_died", returncode=worker.returncode)
            raise UndecodableAudioError("This is not an audio file that we can read.")
        answer: dict[str, Any] = json.loads(output)
        return answer


def _probed(answer: dict[str, Any]) -> Probed:
    measured = None
    if answer["loudness"] is not None:
        loudness = Loudness(**answer["loudness"])
        measured = Measured(AudioProperties(**answer["audio"]), loudness)
    return Probed(_properties(answer["audio"]), Levels(**answer["levels"]), measured)


def _properties(found: dict[str, Any]) -> audio_pb2.AudioProperties:
    tags = {
        key[:_MAX_TAG_CHARACTERS]: value[:_MAX_TAG_CHARACTERS]
        for key, value in list(found["tags"].items())[:_MAX_TAGS]
    }
    return audio_pb2.AudioProperties(
        sample_rate_hz=found["sample_rate_hz"],
        channels=found["channels"],
        frames=found["frames"],
        sample_format=_SAMPLE_FORMATS[found["sample_format"]],
        container=found["container"],
        codec=found["codec"],
        tags=tags,
    )

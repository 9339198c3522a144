"""A file of a stranger costs one clear error, whatever it does to its decoder."""

import asyncio
import contextlib
import io
import subprocess
import sys
import wave
from dataclasses import asdict, replace
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.demo.song import default_song
from mixdown.audio.v1 import audio_pb2
from services.gateway.confinement import is_supported
from services.gateway.errors import UnsupportedAudioError
from services.gateway.probe_worker import Limits, examine
from services.gateway.probing import Prober
from services.gateway.settings import GatewaySettings
from services.runtime.audio.levels import LEVEL_RATE_HZ
from services.runtime.audio.measured import measure
from services.runtime.errors import UndecodableAudioError
from services.separator.track import TrackReader, measure_levels
from tests.patience import PATIENCE_SECONDS

LIMITS = Limits(60.0, 8_000, 192_000, 2, 1 << 30, 60)


def wav(seconds: float, rate: int = 8_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(bytes(2 * channels * int(seconds * rate)))
    return file.getvalue()


def prober(**fields) -> Prober:
    return Prober(GatewaySettings(**fields))


async def probe(path, content: bytes, **fields) -> audio_pb2.AudioProperties:
    path.write_bytes(content)
    with path.open("rb") as file:
        return (await prober(**fields).probe(file)).audio


async def test_a_song_is_described_from_its_content():
    with default_song().path.open("rb") as file:
        audio = (await prober().probe(file)).audio
    assert (audio.sample_rate_hz, audio.channels, audio.codec) == (44_100, 2, "aac")
    assert audio.frames > 5 * 44_100
    assert audio.sample_format == audio_pb2.SAMPLE_FORMAT_UNSPECIFIED


async def test_words_are_no_audio(tmp_path):
    with pytest.raises(UndecodableAudioError):
        await probe(tmp_path / "song.mp3", b"la la la " * 1000)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (wav(61), "60 seconds"),
        (wav(1, rate=4_000), "4000 Hz"),
        (wav(1, rate=200_000), "200000 Hz"),
        (wav(1, channels=6), "6 channels"),
    ],
)
async def test_audio_beyond_the_limits_is_refused_with_the_limit(tmp_path, content, word):
    with pytest.raises(UnsupportedAudioError, match=word):
        await probe(tmp_path / "song.wav", content, track_limit_seconds=60)


@pytest.mark.parametrize("rate_hz", [8_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
async def test_audio_at_the_limits_is_a_track(tmp_path, rate_hz, channels):
    content = wav(0.1, rate_hz, channels)
    audio = await probe(tmp_path / "song.wav", content, track_limit_seconds=0.1)
    assert (audio.sample_rate_hz, audio.channels) == (rate_hz, channels)
    assert audio.frames == rate_hz // 10


def test_without_settings_the_limits_are_two_gigabytes_three_hours_and_any_rate_of_music():
    settings_ = GatewaySettings.model_construct()
    assert settings_.upload_limit_bytes == 2_000_000_000
    assert settings_.track_limit_seconds == 3 * 3600
    assert settings_.minimum_sample_rate_hz == 8_000
    assert settings_.maximum_sample_rate_hz == 192_000
    assert settings_.channel_limit == 2


def test_decoding_stops_at_the_limit_of_length():
    """Hours of silence pack into little; they are not decoded to the end."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as target:
        stream = target.add_stream("flac", rate=8_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        frame.sample_rate = 8_000
        for _ in range(3600 * 8_000 // 4096):
            frame.pts = None
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    size = file.tell()
    file.seek(0)
    assert examine(file, LIMITS)["reason"] == "UNSUPPORTED_AUDIO"
    assert file.tell() < size / 3


async def test_a_check_that_takes_too_long_ends(tmp_path):
    with pytest.raises(UndecodableAudioError, match="too long"):
        await probe(tmp_path / "song.wav", wav(1), probe_limit_seconds=0.01)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=4_000), st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3"]))
def test_random_bytes_get_an_answer(content, magic):
    answer = examine(io.BytesIO(magic + content), LIMITS)
    assert "audio" in answer or answer["reason"] in {"UNDECODABLE_AUDIO", "UNSUPPORTED_AUDIO"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_files_get_an_answer(data):
    content = bytearray(wav(0.2))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    answer = examine(io.BytesIO(bytes(content[:end])), LIMITS)
    assert "audio" in answer or answer["reason"] in {"UNDECODABLE_AUDIO", "UNSUPPORTED_AUDIO"}


def test_the_worker_gives_up_memory_time_and_writing(tmp_path):
    program = (
        "import resource\n"
        "from services.gateway.probe_worker import Limits, confine\n"
        "confine(Limits(60, 8000, 192000, 2, 1 << 30, 5))\n"
        "write = lambda: open('written', 'w').write('x' * 9999)\n"
        "for call in (lambda: bytearray(2 << 30), write):\n"
        "    try:\n"
        "        call()\n"
        "    except (MemoryError, OSError) as error:\n"
        "        print(type(error).__name__)\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0])\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.stdout.split() == ["MemoryError", "OSError", "5"], outcome.stderr


@pytest.mark.skipif(not is_supported(), reason="there is no seccomp filter here")
async def test_whoever_decodes_is_confined_sees_nothing_of_ours_and_dies_with_its_caller(tmp_path):
    path = tmp_path / "hours.wav"
    path.write_bytes(wav(1))
    with path.open("rb+") as file:  # hours of silence, which take no room on the disk
        file.seek(4)
        file.write((2**32 - 1).to_bytes(4, "little"))
        file.seek(40)
        file.write((2**32 - 1).to_bytes(4, "little"))
        file.truncate(2**32 - 1)
        check = asyncio.create_task(prober(track_limit_seconds=1e9).probe(file))
        worker = None

        def is_at_work() -> bool:
            nonlocal worker
            worker = decoder()
            return worker is not None and "Seccomp:\t2" in status_of(worker)

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_at_work():  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.02)
        assert "NoNewPrivs:\t1" in status_of(worker)
        for kind, limit in (("AS", 1 << 30), ("CPU", 300), ("FSIZE", 0), ("CORE", 0)):
            assert worker.rlimit(getattr(psutil, f"RLIMIT_{kind}"))[0] == limit, kind
        assert worker.net_connections("all") == []
        assert set(worker.environ()) <= {
            *("PATH", "PYTHONPATH", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "LC_CTYPE")
        }
        check.cancel()
        with pytest.raises(asyncio.CancelledError):
            await check
        assert not worker.is_running()


def decoder() -> psutil.Process | None:
    """The process that decodes; servers of other tests may run beside it."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "services.gateway.probe_worker" in child.cmdline():
                return child
    return None


def status_of(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/status").read_text()


async def test_the_levels_that_a_model_needs_are_measured_by_the_way():
    """The same bits as the pass of who separates it gives."""
    path = default_song().path
    with TrackReader(path.open("rb"), LEVEL_RATE_HZ, 2) as track:
        levels = measure_levels(track)
    with path.open("rb") as file:
        probed = await prober().probe(file)
    assert probed.levels == levels
    assert probed.levels.frames == probed.audio.frames


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000, 96_000])
def test_levels_are_those_at_the_models_rate_whatever_that_of_the_track_is(rate_hz, channels):
    samples = np.random.default_rng(2).standard_normal((channels, 100_003)).astype(np.float32)
    content = float_wav(samples, rate_hz).getvalue()
    with TrackReader(io.BytesIO(content), LEVEL_RATE_HZ, 2) as track:
        assert examine(io.BytesIO(content), LIMITS)["levels"] == asdict(measure_levels(track))


async def test_a_song_is_measured_as_who_renders_it_would():
    """The same bits, so that nobody has to do it again."""
    path = default_song().path
    with path.open("rb") as file:
        probed = await prober().probe(file)
    with path.open("rb") as file:
        assert probed.measured == measure(file)


def float_wav(samples: np.ndarray, rate_hz: int = 8_000) -> io.BytesIO:
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as target:
        layout = "mono" if len(samples) == 1 else "stereo"
        stream = target.add_stream("pcm_f32le", rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), "flt", layout)
        frame.sample_rate = rate_hz
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    file.seek(0)
    return file


@settings(max_examples=25, deadline=None)
@given(
    hostile=st.lists(
        st.tuples(st.integers(0, 39_999), st.sampled_from([np.nan, np.inf, -np.inf, 1e38, 1e-42])),
        max_size=8,
    ),
    channels=st.integers(1, 2),
)
def test_hostile_samples_are_measured_as_who_renders_them_would(hostile, channels):
    samples = np.random.default_rng(1).standard_normal((channels, 40_000)).astype(np.float32)
    for position, value in hostile:
        samples[:, position] = value
    answer = examine(float_wav(samples), LIMITS)
    assert answer["loudness"] == asdict(measure(float_wav(samples)).loudness)


def test_what_has_no_loudness_is_a_track_nevertheless():
    answer = examine(io.BytesIO(wav(1, channels=6)), replace(LIMITS, channels=6))
    assert answer["audio"]["channels"] == 6
    assert answer["loudness"] is None
    answer = examine(io.BytesIO(wav(1, rate=1_000)), replace(LIMITS, minimum_sample_rate_hz=500))
    assert answer["audio"]["sample_rate_hz"] == 1_000
    assert answer["loudness"] is None

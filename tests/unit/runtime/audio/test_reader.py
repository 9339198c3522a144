"""Reading audio files as streams."""

import io
import struct
import wave

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.demo.song import default_song
from services.runtime.audio.reader import AudioReader, probe
from services.runtime.errors import UndecodableAudioError

RATE = 44_100


def wav(samples: np.ndarray, width: int, rate: int = RATE) -> io.BytesIO:
    """Writes `[channels, frames]` integers as a WAV with `width` bytes a sample."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(samples.shape[0])
        writer.setsampwidth(width)
        writer.setframerate(rate)
        shifted = (samples.T.astype("<i4") << (32 - 8 * width)).astype("<i4")
        data = shifted.tobytes()
        kept = np.frombuffer(data, np.uint8).reshape(-1, 4)[:, 4 - width :]
        writer.writeframes(kept.tobytes())
    file.seek(0)
    return file


def encoded(samples: np.ndarray, container: str, codec: str, rate: int = RATE) -> io.BytesIO:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as target:
        layout = "mono" if samples.shape[0] == 1 else "stereo"
        stream = target.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), "fltp", layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            stream.format, stream.layout, stream.rate, stream.frame_size or None
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    file.seek(0)
    return file


@pytest.mark.parametrize(("width", "sample_format"), [(2, "int16"), (3, "int24")])
@pytest.mark.parametrize("channels", [1, 2])
def test_integers_up_to_24_bits_are_read_exactly(width, sample_format, channels):
    limit = 2 ** (8 * width - 1)
    samples = np.random.default_rng(1).integers(-limit, limit, (channels, 5000))
    samples[:, :2] = [-limit, limit - 1]
    with AudioReader(wav(samples, width)) as reader:
        assert reader.sample_format == sample_format
        read = reader.read(10_000)
    np.testing.assert_array_equal(read.astype(np.float64) * limit, samples)


def test_the_depth_of_a_flac_file_is_told():
    samples = np.zeros((2, 1000), np.float32)
    assert probe(encoded(samples, "flac", "flac")).sample_format in {"int16", "int24"}


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_size_of_the_blocks_does_not_change_what_is_read(sizes):
    samples = np.random.default_rng(2).integers(-(2**15), 2**15, (2, 6000))
    with AudioReader(wav(samples, 2)) as reader:
        blocks = [reader.read(size) for size in sizes]
        blocks.append(reader.read(100_000))
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1) * 2**15, samples)


def test_probing_counts_every_frame_of_the_real_song():
    song = default_song()
    properties = probe(song.path)
    assert (properties.sample_rate_hz, properties.channels) == (44_100, 2)
    assert properties.frames == 268_288
    assert properties.codec == "aac"
    assert properties.sample_format is None


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("mp3", "libmp3lame", 44_100), ("ogg", "libopus", 48_000)],
)
def test_lossy_files_are_read_with_their_length_within_a_codec_frame(container, codec, rate):
    frames = rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
    properties = probe(encoded(np.stack([tone, tone]), container, codec, rate))
    assert properties.sample_rate_hz == rate
    assert abs(properties.frames - frames) <= 2304


def test_what_was_burnt_onto_a_cd_in_place_of_samples_is_heard_as_it_was_meant():
    noise = 0.2 * np.random.default_rng(4).standard_normal((2, 3 * RATE))
    coded = encoded(noise, "spdif", "ac3").getvalue()
    burnt = io.BytesIO()
    with wave.open(burnt, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(coded[: len(coded) // 4 * 4])
    burnt.seek(0)
    with AudioReader(burnt) as reader:
        assert (reader.container, reader.codec) == ("wav", "ac3")
        assert abs(np.std(reader.read(RATE)) - 0.2) < 0.02


def test_opening_a_wav_reads_little_of_it():
    samples = np.random.default_rng(5).integers(-(2**15), 2**15, (2, 2_000_000))
    file = wav(samples, 2)
    with AudioReader(file) as reader:
        assert reader.codec == "pcm_s16le"
        assert file.tell() < 1 << 18
        np.testing.assert_array_equal(reader.read(1000) * 2**15, samples[:, :1000])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello " * 10_000, bytes(100_000), struct.pack("<4sI4s", b"RIFF", 36, b"WAVE")],
    ids=["empty", "text", "zeros", "header"],
)
def test_bytes_without_audio_are_refused(content):
    with pytest.raises(UndecodableAudioError):
        probe(io.BytesIO(content))


@given(st.binary(max_size=4000))
@settings(max_examples=60, deadline=None)
def test_random_bytes_are_refused_or_read_but_never_crash(content):
    try:
        properties = probe(io.BytesIO(content))
    except UndecodableAudioError:
        return
    assert properties.frames > 0


def test_a_truncated_file_is_read_as_far_as_it_goes_or_refused():
    samples = np.random.default_rng(3).integers(-(2**15), 2**15, (2, 20_000))
    whole = wav(samples, 2).getvalue()
    with AudioReader(io.BytesIO(whole[: len(whole) // 2])) as reader:
        read = reader.read(30_000)
    np.testing.assert_array_equal(read * 2**15, samples[:, : read.shape[1]])
    assert 0 < read.shape[1] < 20_000


def test_a_playlist_that_names_another_file_is_no_audio(tmp_path):
    samples = np.zeros((1, 1000), np.int32)
    (tmp_path / "secret.wav").write_bytes(wav(samples, 2).getvalue())
    playlist = tmp_path / "song.mp3"
    playlist.write_bytes(b"ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(UndecodableAudioError):
        probe(playlist)
    absolute = f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n".encode()
    with pytest.raises(UndecodableAudioError):
        probe(io.BytesIO(absolute))

"""What was written can be read back, whatever the blocks it was written in."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.audio.formats import Encoding, FileFormat, file_format
from services.runtime.audio.mp3_encoder import lame_frames
from services.runtime.audio.reader import AudioProperties, AudioReader, Samples, probe
from services.runtime.audio.vorbis_encoder import without_serial
from services.runtime.audio.wav_encoder import WavEncoder
from services.runtime.audio.writer import AudioWriter
from services.runtime.errors import UnsupportedFormatError

LOSSLESS = {
    Encoding.WAV_PCM16: 16,
    Encoding.WAV_PCM24: 24,
    Encoding.FLAC16: 16,
    Encoding.FLAC24: 24,
}
LOSSY = [Encoding.MP3, Encoding.OGG_VORBIS, Encoding.OGG_OPUS, Encoding.M4A_AAC]


def sweep(rate_hz: int, channels: int, seconds: float = 1.3) -> Samples:
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    return np.stack([wave * (1 - 0.3 * channel) for channel in range(channels)]).astype(np.float32)


def write(file: FileFormat, rate_hz: int, samples: Samples, cuts=(), tags=None) -> bytes:
    channels, frames = samples.shape
    with AudioWriter(file, rate_hz, channels, frames, tags) as writer:
        data, start = b"", 0
        for length in cuts:
            data += writer.write(samples[:, start : start + length])
            start = min(start + length, frames)
        data += writer.write(samples[:, start:]) + writer.finish()
        assert writer.size_bytes in {0, len(data)}
        return data


def read(data: bytes) -> tuple[Samples, AudioProperties]:
    with AudioReader(io.BytesIO(data)) as reader:
        samples = reader.read(1 << 40)
    return samples, probe(io.BytesIO(data))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 192_000])
@pytest.mark.parametrize(("encoding", "bits"), LOSSLESS.items())
def test_integers_come_back_as_a_step_next_to_the_sample(encoding, bits, rate_hz, channels):
    samples = sweep(rate_hz, channels)
    back, properties = read(write(file_format(encoding), rate_hz, samples))
    assert np.abs(back.astype(float) - samples).max() * 2.0 ** (bits - 1) < 1.5
    assert np.array_equal(back * 2.0 ** (bits - 1), np.rint(back * 2.0 ** (bits - 1)))
    assert properties.sample_format == f"int{bits}"
    assert properties.sample_rate_hz == rate_hz


@pytest.mark.parametrize("channels", [1, 2])
def test_floats_come_back_bit_for_bit_also_beyond_full_scale(channels):
    samples = sweep(44_100, channels) * 7
    back, properties = read(write(file_format(Encoding.WAV_FLOAT32), 44_100, samples))
    assert np.array_equal(back, samples)
    assert properties.sample_format == "float32"


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("encoding", LOSSY)
def test_lossy_files_sound_alike_and_have_the_same_length(encoding, rate_hz, channels):
    file = file_format(encoding)
    file_rate_hz = file.rate_for(rate_hz)
    samples = sweep(file_rate_hz, channels)
    back, properties = read(write(file, file_rate_hz, samples))
    # A fragmented MP4 cannot tell where its last block ends. A Vorbis file can (see the next test),
    # but FFmpeg ends it on a block, a little earlier or later.
    slack = 1024 if encoding in {Encoding.M4A_AAC, Encoding.OGG_VORBIS} else 0
    assert abs(back.shape[1] - samples.shape[1]) <= slack
    frames = min(back.shape[1], samples.shape[1])
    error = (back[:, :frames] - samples[:, :frames])[:, 2000:-2000]
    assert 20 * np.log10(error.std() / samples.std()) < -20
    assert properties.sample_rate_hz == file_rate_hz
    assert properties.channels == channels


@pytest.mark.parametrize("frames", [1, 28_665, 57_202, 60_000])
def test_ogg_vorbis_tells_its_exact_length(frames):
    data = write(file_format(Encoding.OGG_VORBIS), 44_100, sweep(44_100, 2, 2.0)[:, :frames])
    assert soundfile.info(io.BytesIO(data)).frames == frames


@pytest.mark.parametrize("encoding", list(Encoding))
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=8))
def test_the_same_samples_give_the_same_bytes_however_they_are_cut(encoding, cuts):
    samples = sweep(48_000, 2, seconds=0.7)
    file = file_format(encoding)
    assert write(file, 48_000, samples, cuts) == write(file, 48_000, samples)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_title_and_artist_are_carried_over(encoding):
    tags = {"title": "Zwölf Töne", "artist": "Jemand", "encoder": "some program", "album": ""}
    _, properties = read(write(file_format(encoding), 48_000, sweep(48_000, 2), tags=tags))
    assert properties.tags["title"] == "Zwölf Töne"
    assert properties.tags["artist"] == "Jemand"
    assert properties.tags.get("encoder") != "some program"


@pytest.mark.parametrize("encoding", list(Encoding))
def test_the_shortest_file_has_one_frame(encoding):
    samples = np.full((2, 1), 0.25, np.float32)
    back, _ = read(write(file_format(encoding), 48_000, samples))
    assert back.shape[1] >= 1
    if encoding not in LOSSY:
        assert np.array_equal(back, samples)


def test_clipping_is_counted_and_the_peak_is_told():
    samples = np.array([[0.5, 1.0, -1.0, 1.5, -3.0, 0.999]], np.float32)
    with AudioWriter(file_format(Encoding.WAV_PCM16), 44_100, 1, 6) as writer:
        data = writer.write(samples) + writer.finish()
        assert writer.clipped_samples == 3  # −1.0 can be held, +1.0 cannot
        assert writer.peak == 3.0
    back, _ = read(data)
    assert back[0, 1] == back[0, 3] == 32767 / 32768
    assert back[0, 4] == -1.0


@pytest.mark.parametrize("encoding", [Encoding.WAV_PCM24, Encoding.WAV_FLOAT32, Encoding.FLAC16])
def test_what_is_no_number_is_silenced_and_counted(encoding):
    samples = np.array([[0.5, np.nan, np.inf, -np.inf]], np.float32)
    with AudioWriter(file_format(encoding), 44_100, 1, 4) as writer:
        data = writer.write(samples) + writer.finish()
        assert writer.clipped_samples >= 3
        assert writer.peak == 1.0
    back, _ = read(data)
    assert np.allclose(back, [[0.5, 0.0, 1.0, -1.0]], atol=1e-4)


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("frames", [0, 5, 40_000])
def test_a_file_can_be_given_up_at_any_time(encoding, frames):
    with AudioWriter(file_format(encoding), 48_000, 2, 48_000) as writer:
        writer.write(sweep(48_000, 2)[:, :frames])


@pytest.mark.parametrize(("encoding", "bits"), LOSSLESS.items())
def test_what_an_integer_can_hold_comes_back_bit_for_bit(encoding, bits):
    random = np.random.default_rng(1)
    integers = random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (2, 5000))
    samples = (integers / 2.0 ** (bits - 1)).astype(np.float32)
    back, _ = read(write(file_format(encoding), 44_100, samples))
    assert np.array_equal(back, samples)


def test_dither_lets_through_what_is_smaller_than_a_step():
    step = 2.0**-15
    wave = 0.4 * step * np.sin(2 * np.pi * 441 * np.arange(10 * 44_100) / 44_100)
    samples = wave.astype(np.float32)[None, :]
    back, _ = read(write(file_format(Encoding.WAV_PCM16), 44_100, samples))
    assert np.abs(np.rint(samples / step)).max() == 0  # without dither nothing would be left
    heard = 2 * (back[0] * np.sin(2 * np.pi * 441 * np.arange(wave.size) / 44_100)).mean()
    assert heard == pytest.approx(0.4 * step, rel=0.02)


def test_the_error_of_dither_is_white_and_independent_of_the_sound():
    samples = sweep(44_100, 2, seconds=5.0)
    back, _ = read(write(file_format(Encoding.WAV_PCM16), 44_100, samples))
    error = (back.astype(float) - samples) * 2**15
    # A triangle of ±1 step, and the rounding itself: 1/6 + 1/12.
    assert error.var() == pytest.approx(0.25, rel=0.02)
    assert abs(error.mean()) < 0.005
    assert abs(np.corrcoef(error[0], samples[0])[0, 1]) < 0.01
    assert abs(np.corrcoef(error[0, 1:], error[0, :-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(error[0], error[1])[0, 1]) < 0.01


def test_more_or_fewer_frames_than_announced_are_a_mistake():
    block = np.zeros((1, 10), np.float32)
    with (
        AudioWriter(file_format(Encoding.WAV_PCM16), 44_100, 1, 9) as writer,
        pytest.raises(ValueError, match="more frames"),
    ):
        writer.write(block)
    with AudioWriter(file_format(Encoding.WAV_PCM16), 44_100, 1, 11) as writer:
        writer.write(block)
        with pytest.raises(ValueError, match="1 frames"):
            writer.finish()


def test_the_first_bytes_come_with_the_first_block():
    # A second of music: every encoder must have begun to write by then.
    for encoding in Encoding:
        samples = sweep(48_000, 2, seconds=2.5)
        with AudioWriter(file_format(encoding), 48_000, 2, samples.shape[1]) as writer:
            assert len(writer.write(samples[:, :96_000])) > 1000, encoding


def test_flac_tells_its_length_at_the_beginning():
    samples = sweep(44_100, 2)
    data = write(file_format(Encoding.FLAC24), 44_100, samples)
    assert data[:4] == b"fLaC"
    packed = int.from_bytes(data[18:26], "big")
    assert packed & (2**36 - 1) == samples.shape[1]
    assert packed >> 44 == 44_100
    assert (packed >> 36 & 31) + 1 == 24


def test_wav_of_4_gib_and_more_is_rf64():
    frames = 2**32 // 8 + 1
    encoder = WavEncoder(32, 192_000, 2, frames, {})
    header = encoder.start()
    assert header[:4] == b"RF64"
    assert header[12:16] == b"ds64"
    riff, data, samples = struct.unpack("<QQQ", header[20:44])
    assert (data, samples) == (frames * 8, frames)
    assert riff == len(header) - 8 + data
    assert encoder.size_bytes == len(header) + data
    small = WavEncoder(32, 192_000, 2, 2**32 // 8 - 100, {}).start()
    assert small[:4] == b"RIFF"


def test_mp3_frames_are_counted_as_lame_does():
    # Counted in files of LAME 3.100.
    counts = {(132_423, 1152): 116, (144_123, 1152): 127, (66_273, 576): 118, (24_123, 576): 44}
    for (frames, size), count in counts.items():
        assert lame_frames(frames, size)[0] == count


def test_an_ogg_page_keeps_all_but_its_serial_number():
    # Two Opus files of the same samples: FFmpeg gives both the same serial number, already.
    page = write(file_format(Encoding.OGG_OPUS), 48_000, sweep(48_000, 1))[:47]
    assert page[:4] == b"OggS"
    unnumbered = without_serial(page)
    assert unnumbered[14:18] == bytes(4)
    # Ogg's checksum of a page that had serial 0 before is the one that FFmpeg wrote.
    again = without_serial(unnumbered)
    assert again == unnumbered
    if page[14:18] == bytes(4):
        assert unnumbered == page


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "file_rate_hz"),
    [
        (Encoding.WAV_PCM24, 192_000, 192_000),
        (Encoding.MP3, 44_100, 44_100),
        (Encoding.MP3, 96_000, 48_000),
        (Encoding.MP3, 88_200, 44_100),
        (Encoding.MP3, 37_800, 44_100),
        (Encoding.M4A_AAC, 192_000, 96_000),
        (Encoding.OGG_OPUS, 44_100, 48_000),
        (Encoding.OGG_VORBIS, 96_000, 96_000),
    ],
)
def test_a_rate_that_an_encoding_does_not_know_becomes_a_near_one(encoding, rate_hz, file_rate_hz):
    assert file_format(encoding).rate_for(rate_hz) == file_rate_hz


@pytest.mark.parametrize(
    ("encoding", "bitrate_kbps"),
    [(Encoding.FLAC24, 256), (Encoding.MP3, 31), (Encoding.MP3, 321), (Encoding.OGG_OPUS, -1)],
)
def test_a_bit_rate_that_makes_no_sense_is_refused(encoding, bitrate_kbps):
    with pytest.raises(UnsupportedFormatError):
        file_format(encoding, bitrate_kbps)


@pytest.mark.parametrize("encoding", LOSSY)
def test_a_lower_bit_rate_makes_a_smaller_file(encoding):
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 96_000)).astype(np.float32)
    sizes = [len(write(file_format(encoding, kbps), 48_000, samples)) for kbps in (64, 128, 256)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.7 * sizes[2]


@pytest.mark.parametrize("kbps", [32, 64, 192, 320])
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_has_the_exact_length_at_any_rate_and_bit_rate(kbps, rate_hz, channels):
    samples = sweep(rate_hz, channels, seconds=0.61)
    back, _ = read(write(file_format(Encoding.MP3, kbps), rate_hz, samples))
    assert back.shape == samples.shape


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize(
    "encoding", [item for item in Encoding if item not in {Encoding.M4A_AAC, Encoding.OGG_OPUS}]
)
def test_another_library_reads_the_same_length_and_sound(encoding, rate_hz, channels):
    samples = sweep(rate_hz, channels)
    data = write(file_format(encoding), rate_hz, samples, tags={"title": "Song"})
    back, found_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert found_hz == rate_hz
    assert back.T.shape == samples.shape
    assert (back.T - samples).std() < 0.1 * samples.std()


def test_rf64_is_read_back():
    encoder = WavEncoder(16, 48_000, 2, 2**30 + 1, {"title": "Long"})
    block = np.arange(20_000, dtype=np.int32).reshape(2, -1)
    # The rest of the file is missing, which readers forgive.
    data = encoder.start() + encoder.encode(block)
    assert data[:4] == b"RF64"
    with AudioReader(io.BytesIO(data)) as reader:
        assert np.array_equal(reader.read(1 << 20), block / np.float32(2**15))
        assert reader.tags["title"] == "Long"

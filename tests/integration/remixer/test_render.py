"""What comes out of a render, over a real socket."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import RANGES, EqBand, Mix, Output, Passage, TargetSettings
from mixdown.remixer.v1 import remixer_pb2
from services.runtime.audio.formats import Encoding
from services.runtime.audio.wav_encoder import WavEncoder
from services.runtime.blobs import Blob
from services.runtime.errors import error_info_of
from tests.patience import PATIENCE_SECONDS

from .conftest import (
    EVERYTHING,
    RATE_HZ,
    STEMS,
    QueueFullError,
    decibels,
    decode,
    encode,
    noise,
)

pytestmark = pytest.mark.asyncio

LOSSLESS = [
    (Encoding.WAV_PCM16, 16),
    (Encoding.WAV_PCM24, 24),
    (Encoding.WAV_FLOAT32, None),
    (Encoding.FLAC16, 16),
    (Encoding.FLAC24, 24),
]


def on_grid(samples, bits):
    return samples if bits is None else (np.rint(samples * 2 ** (bits - 1)) / 2 ** (bits - 1))


@pytest.mark.parametrize(("encoding", "bits"), LOSSLESS)
async def test_an_untouched_mix_is_the_original_sample_for_sample(remixer, song, encoding, bits):
    original = on_grid(song, bits).astype(np.float32)
    track = remixer.put(encode(original, encoding))
    rendered = await remixer.render(track)
    assert np.array_equal(rendered.samples("mix"), original)
    assert remixer.separator.requests == []
    assert rendered.notes == []


async def test_a_wav_original_comes_back_as_the_same_file(remixer, song):
    data = encode(song, Encoding.WAV_PCM24, tags={"title": "Sång", "artist": "Someone"})
    rendered = await remixer.render(remixer.put(data))
    assert rendered.files["mix"] == data


async def test_an_edit_of_the_whole_mix_asks_for_no_stem(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    rendered = await remixer.render(track, Mix().change("mix", gain_db=-6.0))
    assert remixer.separator.requests == []
    change = rendered.samples("mix").std() / song.std()
    assert decibels(change) == pytest.approx(-6.0, abs=0.01)


async def test_only_the_stems_that_are_edited_are_asked_for(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    mix = Mix().change("vocals", gain_db=3.0).change("drums", gain_db=-2.0)
    await remixer.render(track, mix.change("bass", eq=(EqBand("peak", 100, 0.0),)))
    assert [list(request.stems) for request in remixer.separator.requests] == [["drums", "vocals"]]


async def test_a_mix_is_the_original_plus_what_was_changed_in_the_stems(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    mix = Mix().change("vocals", gain_db=6.0).change("drums", muted=True)
    rendered = await remixer.render(track, mix)
    stems = remixer.separator.stems
    expected = song + stems["vocals"] * (10 ** (6 / 20) - 1) - stems["drums"]
    error = np.abs(rendered.samples("mix") - expected).max()
    assert decibels(error) < -120


async def test_a_muted_stem_and_that_stem_add_up_to_the_original(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    muted = await remixer.render(track, Mix().change("vocals", muted=True))
    stem = await remixer.render(track, outputs=[Output("stem", ("vocals",))])
    error = np.abs(muted.samples("mix") + stem.samples("vocals") - song).max()
    assert decibels(error) < -120


async def test_without_and_the_untouched_stems_add_up_to_the_original(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    outputs = [
        Output("without", ("vocals", "bass")),
        Output("stem", ("vocals",)),
        Output("stem", ("bass",)),
    ]
    # Settings do not apply to "without".
    rendered = await remixer.render(track, Mix().change("drums", muted=True), outputs=outputs)
    total = sum(rendered.samples(output.name) for output in outputs)
    assert decibels(np.abs(total - song).max()) < -120


async def test_a_stem_output_has_its_own_settings_and_not_those_of_the_mix(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    mix = Mix().change("vocals", gain_db=-3.0).change("mix", gain_db=-20.0)
    rendered = await remixer.render(track, mix, outputs=[Output("stem", ("vocals",))])
    change = rendered.samples("vocals").std() / remixer.separator.stems["vocals"].std()
    assert decibels(change) == pytest.approx(-3.0, abs=0.01)


async def test_a_reverb_makes_the_mix_longer_and_says_so_before_it_starts(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    rendered = await remixer.render(
        track,
        Mix().change("vocals", reverb=0.3),
        outputs=[Output("mix"), Output("without", ("drums",))],
    )
    assert rendered.started["mix"].frames == rendered.samples("mix").shape[1] > song.shape[1]
    assert rendered.samples("without-drums").shape == song.shape
    assert rendered.started["mix"].size_bytes == len(rendered.files["mix"])


async def test_the_same_request_gives_the_same_bytes_however_the_stems_come(
    remixer, song, separator
):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    files = []
    for chunk_frames in (30_000, 4_001, 200_000):
        separator.chunk_frames = chunk_frames
        for record in (remixer.folder / "records" / "renders").rglob("*"):
            if record.is_file():
                record.unlink()
        rendered = await remixer.render(track, EVERYTHING, encoding=audio_pb2.ENCODING_FLAC24)
        assert not rendered.finished["mix"].cached
        files.append(rendered.files["mix"])
    assert files[0] == files[1] == files[2]


async def test_a_passage_is_heard_where_it_is_and_nowhere_else(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    seconds = song.shape[1] / RATE_HZ
    silent = TargetSettings(muted=True)
    passages = (Passage(0.2, 0.6, silent), Passage(seconds + 1.0, None, silent))
    rendered = await remixer.render(track, Mix().change("vocals", passages=passages))
    found = rendered.samples("mix")
    begin, end = round(0.2 * RATE_HZ), round(0.6 * RATE_HZ)
    assert np.array_equal(found[:, :begin], song[:, :begin])
    assert np.array_equal(found[:, end:], song[:, end:])
    fade = RATE_HZ // 100
    inside = slice(begin + fade, end - fade)
    without = song[:, inside] - remixer.separator.stems["vocals"][:, inside]
    assert decibels(np.abs(found[:, inside] - without).max()) < -120
    assert rendered.notes == [
        f"the passage of vocals from {seconds + 1.0:g} s lies behind the end of the track "
        f"at {seconds:.2f} s"
    ]


async def test_a_mix_that_fades_out_is_as_long_as_the_original(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    mix = Mix().change("vocals", reverb=0.5, echo=0.5).change("mix", fade_out_s=0.2)
    rendered = await remixer.render(track, mix)
    found = rendered.samples("mix")
    assert found.shape == song.shape
    assert np.abs(found[:, -20:]).max() < 0.01 < np.abs(song[:, -20:]).max()


async def test_a_render_that_was_made_before_comes_from_the_store(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    mix = Mix().change("vocals", gain_db=3.0)
    first = await remixer.render(track, mix)
    again = await remixer.render(track, mix)
    assert len(remixer.separator.requests) == 1
    assert again.finished["mix"].cached
    assert again.files == first.files
    assert again.finished["mix"].blob == first.finished["mix"].blob
    assert again.started == first.started


async def test_what_other_weights_made_is_rendered_again(remixer, song, separator):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    mix = Mix().change("vocals", gain_db=3.0)
    whole = Mix().change("mix", gain_db=-3.0)
    await remixer.render(track, mix)
    await remixer.render(track, whole)
    separator.is_loaded = False  # nobody knows the weights yet: what there is, is taken
    assert (await remixer.render(track, mix)).finished["mix"].cached
    separator.is_loaded = True
    separator.weights_sha256 = "b" * 64
    separator.stems = {name: 0.5 * stem for name, stem in separator.stems.items()}
    again = await remixer.render(track, mix)
    assert not again.finished["mix"].cached
    expected = song + separator.stems["vocals"] * (10 ** (3 / 20) - 1)
    assert np.abs(again.samples("mix") - expected).max() < 1e-6
    assert (await remixer.render(track, mix)).finished["mix"].cached
    # What needs no stem does not depend on weights.
    assert (await remixer.render(track, whole)).finished["mix"].cached


async def test_a_caller_that_comes_back_gets_only_the_bytes_it_lacks(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    whole = await remixer.render(track, Mix().change("vocals", gain_db=3.0))
    have = 300_001
    rest = await remixer.render(
        track, Mix().change("vocals", gain_db=3.0), offsets_bytes={"mix": have}
    )
    assert rest.first_offsets["mix"] == have
    assert rest.files["mix"] == whole.files["mix"][have:]
    again = await remixer.render(
        track, Mix().change("drums", gain_db=3.0), offsets_bytes={"mix": have}
    )
    assert again.first_offsets["mix"] == have
    assert not again.finished["mix"].cached
    size = again.finished["mix"].blob.size_bytes
    assert len(again.files["mix"]) == size - have


async def test_what_is_stored_is_served_and_the_rest_is_rendered(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    await remixer.render(track, outputs=[Output("stem", ("vocals",))])
    both = await remixer.render(
        track, outputs=[Output("stem", ("vocals",)), Output("stem", ("drums",))]
    )
    assert both.finished["vocals"].cached
    assert not both.finished["drums"].cached
    assert [list(request.stems) for request in remixer.separator.requests] == [
        ["vocals"],
        ["drums"],
    ]


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(48_000, 2), (44_100, 1), (22_050, 1), (96_000, 2)]
)
async def test_rate_channels_and_length_of_the_original_are_kept(remixer, rate_hz, channels):
    frames = 2 * rate_hz + 77
    original = noise(frames, channels, seed=5)
    track = remixer.put(encode(original, Encoding.WAV_FLOAT32, rate_hz))
    rendered = await remixer.render(track, Mix().change("vocals", gain_db=3.0))
    assert rendered.samples("mix").shape == original.shape
    assert rendered.started["mix"].sample_rate_hz == rate_hz
    expected_notes = (rate_hz != RATE_HZ) + (channels != 2)
    assert len(rendered.notes) == expected_notes


async def test_resampled_stems_stay_in_time(remixer, separator):
    seconds = np.arange(2 * 48_000) / 48_000
    tone = np.sin(2 * np.pi * 1000 * seconds)
    original = np.tile(0.3 * tone, (2, 1)).astype(np.float32)
    at_model = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE_HZ) / RATE_HZ)
    separator.stems = {stem: np.tile(0.3 * at_model, (2, 1)).astype(np.float32) for stem in STEMS}
    track = remixer.put(encode(original, Encoding.WAV_FLOAT32, 48_000))
    rendered = await remixer.render(track, Mix().change("vocals", muted=True))
    middle = rendered.samples("mix")[:, 4800:-4800]
    assert decibels(np.abs(middle).max() / 0.3) < -100


async def test_clipping_in_an_integer_format_is_counted_and_reported(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM16))
    loud = Mix().change("vocals", gain_db=24.0)  # stems are not limited
    vocals = {"outputs": [Output("stem", ("vocals",))]}
    rendered = await remixer.render(track, loud, **vocals)
    finished = rendered.finished["vocals"]
    expected = np.abs(remixer.separator.stems["vocals"] * np.float32(10 ** (24 / 20)))
    assert finished.peak == pytest.approx(expected.max(), rel=1e-5)
    assert finished.clipped_samples == pytest.approx(np.count_nonzero(expected > 1.0), rel=0.01)
    assert finished.limited_db == 0.0
    as_float = await remixer.render(track, loud, **vocals, encoding=audio_pb2.ENCODING_WAV_FLOAT32)
    assert as_float.finished["vocals"].clipped_samples == 0
    assert np.abs(as_float.samples("vocals")).max() == pytest.approx(finished.peak)


@pytest.mark.parametrize("encoding", [value for value in audio_pb2.Encoding.values() if value != 0])
async def test_every_encoding_can_be_rendered_and_decoded(remixer, song, encoding):
    track = remixer.put(encode(song, Encoding.WAV_PCM24, tags={"title": "Song"}))
    rendered = await remixer.render(track, encoding=encoding)
    started = rendered.started["mix"]
    samples = rendered.samples("mix")
    assert samples.shape[0] == 2
    # A fragmented MP4 cannot tell where its last block ends, and FFmpeg ends Vorbis on a block, a
    # little earlier or later.
    loose = {audio_pb2.ENCODING_M4A_AAC, audio_pb2.ENCODING_OGG_VORBIS}
    assert abs(samples.shape[1] - started.frames) < (1024 if encoding in loose else 1)
    assert started.format.encoding == encoding


async def test_an_encoding_without_the_original_rate_is_resampled_and_says_so(remixer):
    original = noise(96_000 * 2, seed=3)
    track = remixer.put(encode(original, Encoding.WAV_PCM24, 96_000))
    rendered = await remixer.render(track, encoding=audio_pb2.ENCODING_MP3)
    assert rendered.started["mix"].sample_rate_hz == 48_000
    assert rendered.started["mix"].frames == 96_000
    assert any("48000 Hz" in note for note in rendered.notes)
    again = await remixer.render(track, encoding=audio_pb2.ENCODING_MP3)
    assert again.notes == rendered.notes


async def test_the_first_bytes_come_while_the_separator_still_works(remixer, song, separator):
    separator.pause_after_chunks = 1
    separator.cached = False
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    call = remixer.call(track, Mix().change("vocals", gain_db=3.0))
    async for response in call:
        if response.WhichOneof("event") == "audio" and len(response.audio.data) > 10_000:
            break
    assert separator.chunks_sent == 1
    separator.resume.set()
    rest = [response async for response in call]
    assert rest[-1].WhichOneof("event") == "finished"


async def test_progress_tells_of_the_queue_and_of_the_separation(remixer, song, separator):
    separator.cached = False
    separator.queue_positions = (2, 1)
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    rendered = await remixer.render(track, Mix().change("vocals", gain_db=3.0))
    progress = [r.progress for r in rendered.responses if r.WhichOneof("event") == "progress"]
    stage = remixer_pb2.RenderProgress
    assert [item.queue_position for item in progress if item.stage == stage.STAGE_QUEUED] == [2, 1]
    fractions = [item.fraction for item in progress if item.stage == stage.STAGE_SEPARATING]
    assert fractions == sorted(fractions)
    assert max(fractions) > 0.5


async def until_no_partial_files(remixer) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while remixer.partial_files():  # noqa: ASYNC110 - a state of the disk
            await asyncio.sleep(0.05)


async def test_cancelling_stops_the_separator_and_leaves_no_file(remixer, song, separator):
    separator.pause_after_chunks = 1
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    call = remixer.call(track, Mix().change("vocals", gain_db=3.0))
    async for response in call:
        if response.WhichOneof("event") == "audio":
            break
    assert remixer.partial_files()
    call.cancel()
    await asyncio.wait_for(separator.cancelled.wait(), PATIENCE_SECONDS)
    await until_no_partial_files(remixer)
    assert not list((remixer.folder / "records" / "renders").glob("*"))


async def test_a_cancelled_render_makes_room_for_another_one(remixer, song, separator):
    separator.pause_after_chunks = 0
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    calls = [remixer.call(track, Mix().change("vocals", gain_db=gain)) for gain in (1.0, 2.0)]
    for call in calls:
        await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await remixer.render(track)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls:
        call.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):  # else they still hold their places
        while True:
            try:
                await remixer.render(track)
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)


async def reason_of(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), error_info_of(refused.value).reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"outputs": []}, "NO_OUTPUTS"),
        ({"outputs": [Output("mix"), Output("mix")]}, "NO_OUTPUTS"),
        ({"outputs": [Output("stem", ("trumpet",))]}, "UNKNOWN_STEM"),
        ({"mix": Mix().change("trumpet", gain_db=1.0)}, "UNKNOWN_TARGET"),
        ({"mix": Mix().change("vocals", gain_db=99.0)}, "MIX_OUT_OF_RANGE"),
        ({"mix": Mix().change("mix", gain_db=99.0)}, "MIX_OUT_OF_RANGE"),
        ({"encoding": 77}, "UNSUPPORTED_FORMAT"),
        ({"encoding": audio_pb2.ENCODING_MP3, "bitrate_kbps": 7}, "UNSUPPORTED_FORMAT"),
        ({"mix": Mix().change("vocals", gain_db=1.0), "model": "nine"}, "UNKNOWN_MODEL"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_with_its_reason(
    remixer, song, fields, reason
):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    code, told = await reason_of(remixer.render(track, **fields))
    assert (code, told) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_track_that_is_not_there_is_not_found(remixer):
    missing = remixer.render(Blob("0" * 64, 5))
    assert await reason_of(missing) == (grpc.StatusCode.NOT_FOUND, "BLOB_NOT_FOUND")


async def test_a_track_that_is_no_audio_is_refused(remixer):
    track = remixer.put(b"this is a text, whatever its name says" * 100)
    refused = await reason_of(remixer.render(track))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE_AUDIO")


async def test_an_error_of_the_separator_is_passed_on(remixer, song, separator):
    separator.error = QueueFullError("Too many wait.", retry_after_seconds=3.0)
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    refused = await reason_of(remixer.render(track, Mix().change("vocals", gain_db=1.0)))
    assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert remixer.partial_files() == []


async def test_stems_that_end_early_are_silent_to_the_end(remixer, song, separator):
    separator.stems = {stem: samples[:, :50_000] for stem, samples in separator.stems.items()}
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    rendered = await remixer.render(track, Mix().change("vocals", muted=True))
    assert rendered.samples("mix").shape == song.shape
    assert np.array_equal(rendered.samples("mix")[:, 50_000:], song[:, 50_000:])


async def test_one_frame_can_be_rendered(remixer, separator):
    original = np.array([[0.25], [-0.5]], np.float32)
    separator.stems = dict.fromkeys(STEMS, original / 4)
    track = remixer.put(encode(original, Encoding.WAV_FLOAT32))
    mix = Mix().change("vocals", pitch_semitones=3.0).change("drums", compression="low")
    rendered = await remixer.render(track, mix.change("bass", muted=True))
    assert rendered.samples("mix").shape == (2, 1)


async def test_samples_that_are_no_numbers_become_silence_and_are_reported(remixer, song):
    broken = song.copy()
    broken[0, 1000:1010] = np.nan
    broken[1, 2000] = np.inf
    broken[1, 3000] = 1e20
    file = WavEncoder(32, RATE_HZ, *broken.shape, {})
    track = remixer.put(file.start() + file.encode(broken))
    rendered = await remixer.render(track)
    expected = np.where(np.abs(broken) < 1e10, broken, 0.0)
    assert np.array_equal(rendered.samples("mix"), expected)
    assert rendered.notes == ["silenced 12 samples that were no numbers or far too large"]


async def test_effects_and_encodings_are_told(remixer):
    answer = await remixer.stub.GetEffects(remixer_pb2.GetEffectsRequest())
    effects = {effect.setting: effect for effect in answer.effects}
    assert (effects["gain_db"].minimum, effects["gain_db"].maximum) == (-60.0, 24.0)
    assert effects["gain_db"].unit == "dB"
    assert effects["width"].neutral == 1.0
    told = {name: (effect.minimum, effect.maximum) for name, effect in effects.items()}
    assert {name: told[name] for name in RANGES} == {
        name: (item.minimum, item.maximum) for name, item in RANGES.items()
    }
    assert list(effects["compression"].choices) == ["none", "low", "medium", "high"]
    assert set(answer.encodings) == {value for value in audio_pb2.Encoding.values() if value}


async def test_a_file_in_the_store_is_what_was_streamed(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    rendered = await remixer.render(track, encoding=audio_pb2.ENCODING_OGG_OPUS)
    blob = rendered.finished["mix"].blob
    with remixer.store.open(blob.sha256) as file:
        assert file.read() == rendered.files["mix"]
    assert decode(rendered.files["mix"]).shape[0] == 2


async def test_a_caller_that_does_not_read_stops_the_render_and_can_go_away(remixer, separator):
    frames = 60 * RATE_HZ
    long = noise(frames)
    separator.stems = dict.fromkeys(STEMS, long)
    track = remixer.put(encode(long, Encoding.WAV_FLOAT32))
    call = remixer.call(track, Mix().change("vocals", gain_db=3.0))
    async for response in call:
        if response.WhichOneof("event") == "audio":
            break
    (file,) = remixer.partial_files()
    before, written = -1, 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while before != written:  # until it comes to rest
            await asyncio.sleep(0.7)
            before, written = written, file.stat().st_size
    assert written < frames * 8 / 2
    assert separator.chunks_sent * separator.chunk_frames < frames
    call.cancel()
    await until_no_partial_files(remixer)
    await asyncio.wait_for(separator.cancelled.wait(), PATIENCE_SECONDS)

"""What a render adds up to, over a real socket."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import EqBand, Mix, Output, Passage, TargetSettings
from services.runtime.audio.formats import Encoding

from .conftest import EVERYTHING, RATE_HZ, decibels, encode

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

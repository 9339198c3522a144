"""Files that were rendered are kept, found again, and gone on with."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import Mix, Output
from services.runtime.audio.formats import Encoding

from .conftest import decode, encode

pytestmark = pytest.mark.asyncio


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


async def test_a_file_in_the_store_is_what_was_streamed(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    rendered = await remixer.render(track, encoding=audio_pb2.ENCODING_OGG_OPUS)
    blob = rendered.finished["mix"].blob
    with remixer.store.open(blob.sha256) as file:
        assert file.read() == rendered.files["mix"]
    assert decode(rendered.files["mix"]).shape[0] == 2

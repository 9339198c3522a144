"""What a render needs is known before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mixdown.mix import EqBand, Mix, Output, Passage, TargetSettings
from services.remixer import plan
from services.remixer.effects import reverb
from services.remixer.errors import NoOutputsError
from services.remixer.plan import RenderRequest
from services.remixer.provenance import describe
from services.runtime.audio.formats import Encoding
from services.runtime.audio.reader import AudioProperties
from services.runtime.blobs import Blob
from services.runtime.errors import UnsupportedFormatError

TRACK = Blob("a" * 64, 1000)
WAV = AudioProperties(44_100, 2, 100_000, "int16", "wav", "pcm_s16le")
MONO = replace(WAV, channels=1)
MIX_ONLY = (Output("mix"),)


def request(mix: Mix | None = None, outputs=MIX_ONLY, **fields) -> RenderRequest:
    return RenderRequest(TRACK, mix or Mix(), tuple(outputs), **fields)


def key(mix: Mix, output: Output, properties=WAV, model="four", **fields) -> str:
    asked = request(mix, [output], **fields)
    heard = plan.audible_mix(mix, properties)
    return plan.plan_output(asked, heard, output, properties, model).key


def tail_frames(mix: Mix, output: Output) -> int:
    return plan.output_frames(mix, output, WAV) - WAV.frames


def test_a_render_without_outputs_or_with_repeated_ones_is_refused():
    with pytest.raises(NoOutputsError):
        request(outputs=[])
    with pytest.raises(NoOutputsError):
        request(outputs=[Output("mix"), Output("mix")])


@pytest.mark.parametrize(
    ("mix", "outputs", "stems"),
    [
        (Mix(), [Output("mix")], ()),
        (Mix().change("mix", gain_db=3.0), [Output("mix")], ()),
        (Mix().change("vocals", gain_db=3.0), [Output("mix")], ("vocals",)),
        (Mix().change("vocals", gain_db=3.0), [Output("stem", ("drums",))], ("drums",)),
        (Mix().change("vocals", gain_db=3.0), [Output("without", ("bass",))], ("bass",)),
        (
            Mix().change("vocals", gain_db=3.0).change("bass", muted=True),
            [Output("mix"), Output("stem", ("other",))],
            ("bass", "other", "vocals"),
        ),
        # What cannot be heard needs nothing.
        (Mix().change("vocals", eq=(EqBand("peak", 1000, 0.0),)), [Output("mix")], ()),
        (Mix().change("vocals", gain_db=3.0).change("mix", muted=True), [Output("mix")], ()),
    ],
)
def test_only_the_stems_that_matter_are_needed(mix, outputs, stems):
    assert plan.needed_stems(plan.audible_mix(mix, WAV), outputs) == stems


def test_a_pan_needs_no_stem_of_a_mono_track():
    mix = Mix().change("vocals", pan=0.5)
    assert plan.needed_stems(plan.audible_mix(mix, MONO), MIX_ONLY) == ()
    assert plan.needed_stems(plan.audible_mix(mix, WAV), MIX_ONLY) == ("vocals",)


@pytest.mark.parametrize(
    ("container", "sample_format", "encoding"),
    [
        ("wav", "int16", Encoding.WAV_PCM16),
        ("wav", "int24", Encoding.WAV_PCM24),
        ("aiff", "int24", Encoding.WAV_PCM24),
        ("wav", "int32", Encoding.WAV_FLOAT32),
        ("wav", "float32", Encoding.WAV_FLOAT32),
        ("flac", "int16", Encoding.FLAC24),
        ("mp3", None, Encoding.FLAC24),
        ("mov,mp4,m4a,3gp,3g2,mj2", None, Encoding.FLAC24),
    ],
)
def test_the_default_encoding_is_lossless_and_fits_the_original(container, sample_format, encoding):
    properties = AudioProperties(44_100, 2, 1, sample_format, container, "x")
    assert plan.default_encoding(properties) == encoding


def test_a_key_names_what_an_output_depends_on_and_nothing_else():
    vocals, without = Output("stem", ("vocals",)), Output("without", ("vocals",))
    louder = Mix().change("vocals", gain_db=3.0)
    both = louder.change("drums", muted=True)
    assert key(louder, vocals) == key(both, vocals)
    assert key(Mix(), without) == key(both, without)
    assert key(louder, Output("mix")) != key(both, Output("mix"))
    assert key(louder, vocals) != key(Mix(), vocals)
    assert key(louder, vocals, model="four") != key(louder, vocals, model="six")
    assert key(Mix(), Output("mix"), model="") == key(Mix(), Output("mix"), model="six")
    assert key(Mix(), vocals, encoding=Encoding.MP3) != key(Mix(), vocals)
    assert key(Mix(), vocals, encoding=Encoding.MP3) == key(
        Mix(), vocals, encoding=Encoding.MP3, bitrate_kbps=256
    )
    assert key(Mix(), Output("without", ("bass", "drums"))) == key(
        Mix(), Output("without", ("drums", "bass"))
    )


def test_only_the_mix_is_brought_to_a_loudness_and_its_key_names_it():
    mix, stem = Output("mix"), Output("stem", ("vocals",))
    asked = request(Mix(), [mix, stem], loudness_lufs=-14.0)
    planned = [plan.plan_output(asked, Mix(), output, WAV, "four") for output in (mix, stem)]
    assert [item.loudness_lufs for item in planned] == [-14.0, None]
    assert planned[0].done == "Mixdown: at -14 LUFS"
    assert planned[0].key != key(Mix(), mix)
    assert planned[1].key == key(Mix(), stem)


@pytest.mark.parametrize("lufs", [-4.9, -40.1, float("nan"), float("inf")])
def test_a_loudness_beyond_the_range_is_refused(lufs):
    with pytest.raises(UnsupportedFormatError):
        request(loudness_lufs=lufs)


def test_tails_of_stems_and_of_the_mix_follow_one_another():
    stem = Mix().change("vocals", reverb=0.5)
    both = stem.change("mix", reverb=0.2)
    tail, master = reverb.tail_frames(0.5, 44_100), reverb.tail_frames(0.2, 44_100)
    assert tail_frames(stem, Output("mix")) == tail
    assert tail_frames(both, Output("mix")) == tail + master
    assert tail_frames(both, Output("stem", ("vocals",))) == tail
    assert tail_frames(both, Output("without", ("vocals",))) == 0


def test_what_fades_out_ends_with_the_track():
    stem = Mix().change("vocals", reverb=0.5)
    assert tail_frames(stem.change("vocals", fade_out_s=1.0), Output("mix")) == 0
    assert tail_frames(stem.change("mix", fade_out_s=1.0), Output("mix")) == 0
    assert tail_frames(stem.change("drums", fade_out_s=1.0), Output("mix")) > 0


def test_a_passage_makes_a_render_longer_where_it_still_rings_at_the_end():
    seconds = WAV.frames / WAV.sample_rate_hz
    ring = TargetSettings(echo=0.5, echo_time_ms=100.0, echo_feedback=0.0)
    for end_s, longer in ((0.5, False), (seconds - 0.05, True), (None, True)):
        mix = Mix().change("vocals", passages=(Passage(0.0, end_s, ring),))
        assert (tail_frames(mix, Output("mix")) == 4410) is longer


def test_what_lies_behind_the_end_of_the_track_is_not_heard_and_told():
    passages = (
        Passage(1.0, 9.0, TargetSettings(gain_db=1.0)),
        Passage(10.0, None, TargetSettings(muted=True)),
    )
    mix = Mix().change("vocals", passages=passages)
    heard = plan.audible_mix(mix, WAV)["vocals"].passages
    assert heard == (Passage(1.0, None, TargetSettings(gain_db=1.0)),)
    assert plan.notes(mix, WAV) == (
        "the passage of vocals from 1 s to 9 s reaches beyond the end of the track at 2.27 s",
        "the passage of vocals from 10 s lies behind the end of the track at 2.27 s",
    )
    assert plan.notes(Mix({"vocals": TargetSettings(passages=heard)}), WAV) == ()
    assert key(mix, Output("mix")) == key(Mix().change("vocals", passages=heard), Output("mix"))


def test_a_file_tells_of_its_passages():
    settings = TargetSettings(
        gain_db=3.0, passages=(Passage(0.0, 1.0, TargetSettings(reverb=0.3)),)
    )
    told = describe(Mix({"drums": settings}), Output("mix"), "four")
    assert told == "Mixdown (four): drums gain_db 3, from 0 s to 1 s (reverb 0.3)"


def test_a_rate_that_an_encoding_does_not_know_is_planned_with_its_length():
    properties = AudioProperties(96_000, 2, 96_001, "int24", "wav", "pcm_s24le")
    planned = plan.plan_output(request(encoding=Encoding.MP3), Mix(), Output("mix"), properties, "")
    assert (planned.sample_rate_hz, planned.frames, planned.file_frames) == (48_000, 96_001, 48_001)

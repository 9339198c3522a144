"""The graph adds up what it should, whatever the blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdown.mix import MASTER, EqBand, Mix, Output, TargetSettings
from services.remixer.chain import Track, build_chain, output_frames
from services.remixer.frame_queue import FrameQueue
from services.remixer.graph import Graph, ceiling_of

from .conftest import RATE_HZ, noise, run

FRAMES = 8000
TRACK = Track(RATE_HZ, 2, FRAMES, lufs=-17.0)
CEILING = ceiling_of(0.5)
ORIGINAL = noise(FRAMES, seed=1)
STEMS = {name: noise(FRAMES, seed=seed) for seed, name in enumerate(("bass", "drums", "vocals"), 2)}
OUTPUTS = (
    Output("mix"),
    Output("stem", ("vocals",)),
    Output("stem", ("drums",)),
    Output("without", ("vocals", "bass")),
)


def render(
    mix: Mix, outputs=OUTPUTS, cuts=(), pool=None, *, flushes=False
) -> dict[str, np.ndarray]:
    graph = Graph(mix, outputs, TRACK, CEILING, pool)
    parts: dict[str, list[np.ndarray]] = {output.name: [] for output in outputs}
    start = 0
    for length in (*cuts, FRAMES):
        stop = min(start + length, FRAMES)
        ready = graph.push(
            ORIGINAL[:, start:stop],
            {name: s[:, start:stop] for name, s in STEMS.items()},
        )
        start = stop
        for name, block in ready.items():
            parts[name].append(block)
        if flushes:
            for name, block in graph.flush().items():
                parts[name].append(block)
            assert not graph.is_ahead
    for name, block in graph.finish().items():
        parts[name].append(block)
    return {name: np.concatenate(blocks, axis=1) for name, blocks in parts.items()}


MIX = Mix(
    {
        "vocals": TargetSettings(gain_db=3.0, reverb=0.1),
        "drums": TargetSettings(pitch_semitones=-2.0, compression="low"),
        "bass": TargetSettings(muted=True),
        MASTER: TargetSettings(eq=(EqBand("peak", 1000, 3.0),), reverb=0.05),
    }
)


def test_a_neutral_mix_is_the_original_bit_for_bit():
    assert np.array_equal(render(Mix(), [Output("mix")])["mix"], ORIGINAL)


def test_a_mix_is_the_original_plus_processed_minus_stem_through_the_master_chain():
    rendered = render(MIX)["mix"]
    tail = output_frames(MIX["vocals"], TRACK, FRAMES) - FRAMES
    total = np.pad(ORIGINAL.astype(np.float64), ((0, 0), (0, tail)))
    for stem, samples in STEMS.items():
        processed = run(build_chain(stem, MIX[stem], TRACK), samples)
        total[:, : processed.shape[1]] += processed
        total[:, :FRAMES] -= samples
    expected = run(build_chain(MASTER, MIX[MASTER], TRACK), total.astype(np.float32))
    assert rendered.shape == expected.shape
    assert np.abs(rendered - expected).max() < 1e-6


IN_ONE_ROOM = Mix(
    {
        "vocals": TargetSettings(gain_db=3.0, reverb=0.2, echo=0.4, echo_time_ms=30.0),
        "drums": TargetSettings(pitch_semitones=-2.0, reverb=0.2),
        "bass": TargetSettings(reverb=0.2, fade_out_s=0.02),
    }
)


def test_stems_with_the_same_reverb_share_it_and_sound_as_if_each_had_its_own():
    rendered = render(IN_ONE_ROOM)
    chains = {s: build_chain(s, IN_ONE_ROOM[s], TRACK) for s in ("vocals", "drums", "bass")}
    processed = {stem: run(chain, STEMS[stem]) for stem, chain in chains.items()}
    frames = max(samples.shape[1] for samples in processed.values())
    total = np.zeros((2, frames))
    total[:, :FRAMES] = ORIGINAL - sum(STEMS.values())
    for samples in processed.values():
        total[:, : samples.shape[1]] += samples
    assert np.abs(total).max() < CEILING
    assert rendered["mix"].shape == total.shape
    difference = np.abs(rendered["mix"] - total)
    assert difference[:, :FRAMES].max() < 1e-6
    # Where the echo makes one of them longer, the tail of the room fades out later.
    assert difference.max() < 1e-4
    for stem in ("vocals", "drums"):
        assert np.array_equal(rendered[stem], processed[stem])


def test_a_mix_does_not_depend_on_what_is_handed_out_beside_it():
    alone = render(IN_ONE_ROOM, [Output("mix")])["mix"]
    assert np.array_equal(render(IN_ONE_ROOM)["mix"], alone)


def test_a_stem_output_is_the_stem_through_its_own_chain():
    rendered = render(MIX)
    for stem in ("vocals", "drums"):
        expected = run(build_chain(stem, MIX[stem], TRACK), STEMS[stem])
        assert np.array_equal(rendered[stem], expected)


def test_without_is_the_original_minus_the_stems_as_they_are():
    expected = ORIGINAL - STEMS["bass"] - STEMS["vocals"]
    assert np.array_equal(render(MIX)["without-vocals-bass"], expected)


def test_a_muted_stem_is_gone_to_the_last_bit_of_the_sum():
    rendered = render(Mix().change("bass", muted=True), [Output("mix")])["mix"]
    assert np.abs(rendered + STEMS["bass"] - ORIGINAL).max() < 1e-7


@pytest.mark.parametrize("mix", [MIX, IN_ONE_ROOM], ids=["rooms", "one room"])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 2500), max_size=10))
def test_the_same_streams_give_the_same_bits_however_they_are_cut(mix, cuts):
    whole = render(mix)
    cut = render(mix, cuts=cuts)
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


@pytest.mark.parametrize("flushes", [False, True])
def test_neither_threads_nor_work_ahead_change_a_bit(flushes):
    alone = render(MIX, cuts=[1000] * 7)
    with ThreadPoolExecutor(3) as pool:
        together = render(MIX, cuts=[1000] * 7, pool=pool, flushes=flushes)
    assert all(np.array_equal(alone[name], together[name]) for name in alone)


def test_a_chain_that_fails_fails_the_render():
    with ThreadPoolExecutor(2) as pool:
        graph = Graph(MIX, [Output("mix")], TRACK, CEILING, pool)
        graph.push(ORIGINAL, STEMS)
        with pytest.raises(ValueError, match="dimensions"):
            graph.push(ORIGINAL, {name: stem[:1] for name, stem in STEMS.items()})
            graph.flush()
        graph.close()


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_a_queue_gives_frames_in_the_order_they_came(pushes, pops):
    frames = np.arange(sum(pushes), dtype=np.float32)[None, :]
    queue = FrameQueue(1)
    start = 0
    for length in pushes:
        queue.push(frames[:, start : start + length])
        start += length
    taken = []
    for length in pops:
        if length > queue.frames:
            with pytest.raises(ValueError, match="frames were wanted"):
                queue.pop(length)
            continue
        taken.append(queue.pop(length))
    taken.append(queue.pop(queue.frames))
    assert np.array_equal(np.concatenate(taken, axis=1), frames)

"""What comes out segment by segment is what `demucs.apply.apply_model` gives for the whole."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from services.runtime.audio.reader import Samples
from services.separator.models import describe_model
from services.separator.overlap_add import OverlapAdd
from services.separator.segments import Grid, plan_segments, shift_offsets
from services.separator.track import SegmentCutter, TrackReader, measure_levels
from tests.separator_models import RATE_HZ, STEMS, music, snr_db, tiny_htdemucs, write_wav

RATE = 1_000


class Sensitive(nn.Module):
    """Gives other samples for every position, neighbour and length, in two stems."""

    def __init__(self, segment_frames: int, fixed_length: bool, seed: int = 0) -> None:
        super().__init__()
        self.samplerate = RATE
        self.audio_channels = 2
        self.sources = ["one", "two"]
        self.segment = segment_frames / RATE
        self.phase = nn.Parameter(torch.tensor(float(seed)))
        if fixed_length:
            self.valid_length = lambda length: segment_frames

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        frames = mix.shape[-1]
        place = torch.arange(frames) / frames
        blurred = torch.cumsum(mix, dim=-1) / torch.arange(1, frames + 1)
        one = mix * (1 + place + self.phase)
        two = blurred * torch.cos(7 * place + self.phase) + mix.std()
        return torch.stack([one, two], dim=1)


def separate(
    path: Path,
    network: nn.Module,
    overlap: float,
    members: Sequence[int] | None = None,
    shifts: Sequence[int] = (0,),
    *,
    is_sparing: bool = False,
) -> tuple[Samples, int]:
    """Separates a file segment by segment; also returns the most frames that were held."""
    model = describe_model("test", network)
    with TrackReader(path.open("rb"), model.sample_rate_hz, model.channels) as track:
        levels = measure_levels(track)
    numbers = range(len(model.members)) if members is None else members
    plan = plan_segments(
        [(number, model.members[number]) for number in numbers],
        levels.frames,
        overlap,
        shifts,
        is_sparing=is_sparing,
    )
    sums = [OverlapAdd(model.channels, levels.frames) for _ in model.stems]
    parts, held = [], 0
    with TrackReader(path.open("rb"), model.sample_rate_hz, model.channels) as track:
        cutter = SegmentCutter(track, levels)
        for segment, needed, until in zip(
            plan.segments, plan.needed_from, plan.final_until, strict=True
        ):
            mix = cutter.cut(segment.input_start, segment.input_frames, needed)
            member = model.members[segment.member]
            with torch.inference_mode():
                output = member.network(torch.from_numpy(mix)[None])[0].numpy()
            for stem, share, made in zip(sums, member.shares, output, strict=True):
                stem.add(segment, made, segment.gains() * np.float32(share))
            held = max(held, *(stem.held_frames for stem in sums))
            parts.append(np.stack([stem.take(until).T for stem in sums]))
    return np.concatenate(parts, axis=-1) * levels.deviation + levels.mean, held


def stock(samples: Samples, network: nn.Module, overlap: float, shifts: int = 0) -> Samples:
    """What the library gives, normalised as its own command does."""
    wav = torch.from_numpy(samples)
    ref = wav.mean(0)
    mean, deviation = ref.mean(), ref.std() + 1e-8
    with torch.inference_mode():
        out = apply_model(
            network, ((wav - mean) / deviation)[None], shifts=shifts, overlap=overlap, split=True
        )
    result: Samples = (out[0] * deviation + mean).numpy()
    return result


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(2, 700),
    segment=st.integers(4, 260),
    overlap=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7]),
    fixed=st.booleans(),
)
def test_any_length_cut_in_any_way_gives_what_the_library_gives(
    tmp_path_factory: pytest.TempPathFactory, frames: int, segment: int, overlap: float, fixed: bool
) -> None:
    samples = music(frames / RATE, RATE, seed=frames)
    path = tmp_path_factory.mktemp("song") / "song.wav"
    write_wav(path, samples, RATE)
    network = Sensitive(segment, fixed)
    output, held = separate(path, network, overlap)
    assert output.shape == (2, 2, frames)
    assert snr_db(stock(samples, network, overlap), output) > 100
    assert held <= segment


@pytest.mark.parametrize(
    ("frames", "segments"),
    [(300, 1), (340, 1), (341, 2), (400, 2), (640, 2), (641, 3)],  # of 400, one every 300
)
def test_a_sparing_grid_leaves_out_a_last_segment_that_counts_for_little(
    tmp_path: Path, frames: int, segments: int
) -> None:
    samples = music(frames / RATE, RATE)
    write_wav(tmp_path / "song.wav", samples, RATE)
    network = Sensitive(400, True)
    member = [(0, describe_model("test", network).members[0])]
    whole = plan_segments(member, frames, 0.25)
    spared = plan_segments(member, frames, 0.25, is_sparing=True)
    begin = 300 * segments  # of the segment that is left out, where one is
    is_left_out = begin < frames <= begin + 40  # two fifths of what two segments share
    assert len(whole.segments) == -(-frames // 300)
    assert len(spared.segments) == len(whole.segments) - is_left_out
    expected = stock(samples, network, 0.25)
    output, _ = separate(tmp_path / "song.wav", network, 0.25, is_sparing=True)
    assert output.shape == expected.shape
    same = min(begin, frames) if is_left_out else frames
    assert snr_db(expected[..., :same], output[..., :same]) > 100


@given(segment=st.integers(10, 500), overlap=st.floats(0.0, 0.9), strides=st.integers(1, 4))
def test_a_segment_that_is_left_out_would_have_counted_for_two_fifths_at_most(
    segment: int, overlap: float, strides: int
) -> None:
    stride = max(1, int((1 - overlap) * segment))
    for frames in range(1 + strides * stride, 1 + (strides + 1) * stride):
        whole = Grid(0, frames, segment, stride)
        left_out = len(whole) - len(Grid(0, frames, segment, stride, is_sparing=True))
        assert left_out in {0, 1}
        if left_out:  # a frame's rounding, and the triangle's that begins above 0
            assert whole.gains(len(whole) - 1).max() <= 0.4 + 4 / segment


def test_a_real_transformer_gives_what_the_library_gives(tmp_path: Path) -> None:
    samples = music(2.3)
    write_wav(tmp_path / "song.wav", samples, RATE_HZ)
    network = tiny_htdemucs()
    output, _ = separate(tmp_path / "song.wav", network, 0.25)
    assert snr_db(stock(samples, network, 0.25), output) > 100


def test_a_bag_is_averaged_with_its_weights(tmp_path: Path) -> None:
    samples = music(1.0, RATE)
    write_wav(tmp_path / "song.wav", samples, RATE)
    networks = [Sensitive(100, True, seed=1), Sensitive(170, False, seed=2)]
    bag = BagOfModels(networks, [[1.0, 0.25], [3.0, 0.75]])  # type: ignore[arg-type]
    output, _ = separate(tmp_path / "song.wav", bag, 0.25)
    assert snr_db(stock(samples, bag, 0.25), output) > 100


def test_one_hot_weights_need_only_the_member_of_the_stem(tmp_path: Path) -> None:
    samples = music(1.0, RATE)
    write_wav(tmp_path / "song.wav", samples, RATE)
    networks = [Sensitive(100, True, seed=1), Sensitive(100, True, seed=2)]
    bag = BagOfModels(networks, [[1.0, 0.0], [0.0, 1.0]])  # type: ignore[arg-type]
    model = describe_model("test", bag)
    assert model.members_for(["two"]) == (1,)
    output, _ = separate(tmp_path / "song.wav", bag, 0.25, members=model.members_for(["two"]))
    assert snr_db(stock(samples, bag, 0.25)[1], output[1]) > 100


def test_shifts_give_what_the_library_gives_for_the_same_draws(tmp_path: Path) -> None:
    samples = music(2.0, RATE)
    write_wav(tmp_path / "song.wav", samples, RATE)
    network = Sensitive(300, True)
    random.seed(5)
    draws = [random.randint(0, RATE // 2) for _ in range(3)]
    random.seed(5)
    expected = stock(samples, network, 0.25, shifts=3)
    output, _ = separate(
        tmp_path / "song.wav", network, 0.25, shifts=[RATE // 2 - draw for draw in draws]
    )
    assert snr_db(expected, output) > 100


@given(track=st.text("0123456789abcdef", min_size=8), shifts=st.integers(1, 10))
def test_shifts_are_drawn_by_the_track_and_reach_half_a_second_at_most(
    track: str, shifts: int
) -> None:
    offsets = shift_offsets(track, shifts, 44_100)
    assert offsets == shift_offsets(track, shifts, 44_100)
    assert offsets != shift_offsets(f"{track}0", shifts, 44_100)
    assert len(offsets) == shifts
    assert all(0 <= offset <= 22_050 for offset in offsets)
    assert shift_offsets(track, 0, 44_100) == (0,)


def test_the_older_architectures_give_what_the_library_gives(tmp_path: Path) -> None:
    """Hybrid Demucs takes a last segment of any length; Demucs of the time domain pads it."""
    samples = music(2.3)
    write_wav(tmp_path / "song.wav", samples, RATE_HZ)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        told = {"channels": 8, "samplerate": RATE_HZ, "segment": 1}
        networks = [HDemucs(STEMS, **told).eval(), Demucs(STEMS, depth=4, **told).eval()]
    bag = BagOfModels(networks, [[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])  # type: ignore[arg-type]
    output, _ = separate(tmp_path / "song.wav", bag, 0.25)
    assert snr_db(stock(samples, bag, 0.25), output) > 80


def test_six_stems_give_what_the_library_gives(tmp_path: Path) -> None:
    samples = music(1.3)
    write_wav(tmp_path / "song.wav", samples, RATE_HZ)
    network = tiny_htdemucs(sources=[*STEMS, "guitar", "piano"])
    output, _ = separate(tmp_path / "song.wav", network, 0.25)
    assert output.shape == (6, *samples.shape)
    assert snr_db(stock(samples, network, 0.25), output) > 100


@given(
    seconds=st.integers(8, 10_000),
    overlap=st.sampled_from([0.1, 0.25, 0.5]),
    shift=st.integers(0, RATE // 2),
)
def test_the_first_audio_is_final_after_at_most_two_segments_whatever_the_length(
    seconds: int, overlap: float, shift: int
) -> None:
    model = describe_model("test", Sensitive(7_800, True))
    plan = plan_segments([(0, model.members[0])], seconds * RATE, overlap, (shift,))
    assert plan.final_until[min(1, len(plan.segments) - 1)] > 0
    if not shift:
        assert plan.final_until[0] > 0


@given(
    seconds=st.floats(0.01, 60.0),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
    shifts=st.lists(st.integers(0, RATE // 2), min_size=1, max_size=4),
    is_sparing=st.booleans(),
)
def test_no_segment_reads_what_was_already_dropped_or_adds_to_what_was_given_out(
    seconds: float, overlap: float, shifts: list[int], is_sparing: bool
) -> None:
    model = describe_model("test", Sensitive(1_300, True))
    frames = max(1, int(seconds * RATE))
    member = [(0, model.members[0])]
    plan = plan_segments(member, frames, overlap, shifts, is_sparing=is_sparing)
    for number, segment in enumerate(plan.segments):
        assert all(segment.input_start >= needed for needed in plan.needed_from[: number + 1])
        assert all(max(0, segment.offset) >= until for until in plan.final_until[:number])
    assert plan.final_until[-1] == frames
    weights = np.zeros(frames)
    for segment in plan.segments:
        begin, end = segment.offset, segment.offset + segment.length
        gains = segment.grid.gains(segment.index)[max(0, -begin) :]
        weights[max(0, begin) : max(0, end)] += gains * segment.share
    assert np.allclose(weights, 1, atol=1e-5)

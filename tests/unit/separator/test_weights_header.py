"""What files of weights say, and that nothing in them is run for it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.states import get_state
from diffq import DiffQuantizer

from services.separator.models import describe_model
from services.separator.registry import Registry
from services.separator.weights_header import WeightsHeader, read_header
from tests.separator_models import (
    STEMS,
    tiny_htdemucs,
    write_bag,
    write_pickled,
    write_safetensors,
)

TINY = WeightsHeader(tuple(STEMS), 8_000, 2, 0.5)


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "one.safetensors", tiny_htdemucs())
    write_pickled(tmp_path, "two", tiny_htdemucs())
    headers = [read_header(path) for path in tmp_path.iterdir()]
    assert headers == [TINY, TINY]


def test_what_is_said_is_what_the_loaded_model_is(tmp_path: Path) -> None:
    for number, network in enumerate(
        (
            tiny_htdemucs(sources=["voice", "rest"], audio_channels=1),
            HDemucs(STEMS, channels=4, samplerate=16_000, segment=3),
            Demucs(STEMS, depth=2, segment=2),
        )
    ):
        write_pickled(tmp_path, str(number), network)
        (path,) = tmp_path.glob(f"{number}-*.th")
        header, model = read_header(path), describe_model("one", network)
        assert header is not None
        assert header.stems == model.stems
        assert (header.sample_rate_hz, header.channels) == (model.sample_rate_hz, model.channels)
        segment_frames = model.members[0].segment_frames
        assert header.segment_seconds * header.sample_rate_hz == segment_frames


def test_quantised_weights_say_it_too(tmp_path: Path) -> None:
    network = tiny_htdemucs()
    state = get_state(network, DiffQuantizer(network))
    write_pickled(tmp_path, "quantised", network, state)
    (path,) = tmp_path.iterdir()
    assert read_header(path) == TINY


class Trap:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._path,)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "trap.th"
    package = {
        "klass": None,
        "args": (STEMS,),
        "kwargs": {"samplerate": 8_000},
        "state": Trap(sprung),
    }
    torch.save(package, path)
    header = read_header(path)
    assert header is not None
    assert header.stems == tuple(STEMS)
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()  # as it would have


@pytest.mark.parametrize("name", ["damaged.th", "damaged.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"args": 1})])
def test_a_file_that_says_nothing_says_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_header(tmp_path / name) is None


@pytest.mark.parametrize("package", [[], {}, {"args": (), "kwargs": {}}, {"args": 1, "kwargs": 2}])
def test_a_package_without_sources_says_nothing(tmp_path: Path, package: object) -> None:
    with zipfile.ZipFile(tmp_path / "odd.th", "w") as archive:
        archive.writestr("odd/data.pkl", pickle.dumps(package))
    assert read_header(tmp_path / "odd.th") is None


def test_the_registry_tells_what_the_files_of_the_folder_say(tmp_path: Path) -> None:
    write_bag(tmp_path, "pair", {"aaaa": tiny_htdemucs(1), "bbbb": tiny_htdemucs(2)})
    write_safetensors(tmp_path / "single.safetensors", tiny_htdemucs())
    (tmp_path / "coming.yaml").write_text("models: [cccc]")
    (tmp_path / "odd.yaml").write_text("[")
    registry = Registry(tmp_path)
    cards = {card.name: card for card in registry.cards()}
    for name, members in (("pair", 2), ("single", 1), ("aaaa", 1)):
        card = cards[name]
        assert (card.stems, card.segment_seconds) == (tuple(STEMS), 0.5)
        assert (card.sample_rate_hz, card.channels, card.members) == (8_000, 2, members)
    assert cards["coming"].stems == cards["odd"].stems == ()
    write_pickled(tmp_path, "cccc", tiny_htdemucs())
    assert {card.name: card for card in registry.cards()}["coming"].stems == tuple(STEMS)


def test_a_bag_may_say_how_long_its_segments_are(tmp_path: Path) -> None:
    write_bag(tmp_path, "bag", {"aaaa": tiny_htdemucs()})
    (tmp_path / "bag.yaml").write_text("{models: [aaaa], segment: 0.25}")
    (card,) = (card for card in Registry(tmp_path).cards() if card.name == "bag")
    assert card.segment_seconds == 0.25

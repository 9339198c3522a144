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
from huggingface_hub import constants

from services.separator.errors import UnknownModelError
from services.separator.models import describe_model
from services.separator.registry import Registry
from services.separator.weights import HuggingFaceHub, LocalFolder, WeightsChain
from services.separator.weights_header import WeightsHeader, read_header
from services.separator.weights_npm import ConvertedWeights, cached_weights_path
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


def test_what_is_put_into_the_folder_later_is_found_and_what_is_gone_is_not(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(UnknownModelError):
        registry.find("mine")
    write_bag(tmp_path, "mine", {"aaaa": tiny_htdemucs()})
    assert registry.find("mine").name == "mine"
    assert "mine" in {card.name for card in registry.cards()}
    for file in tmp_path.iterdir():
        file.unlink()
    assert "mine" not in {card.name for card in registry.cards()}
    assert registry.find("htdemucs").stems == tuple(STEMS)


def test_the_size_of_weights_is_told_where_all_of_their_files_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    models, cache = tmp_path / "models", tmp_path / "cache"
    write_bag(models, "pair", {"aaaa": tiny_htdemucs(1), "bbbb": tiny_htdemucs(2)})
    write_bag(models, "half", {"cccc": tiny_htdemucs(1)})
    (models / "half.yaml").write_text("models: [cccc, dddd]")
    write_safetensors(models / "my own.safetensors", tiny_htdemucs())
    (models / "odd.yaml").write_text("models: 5")
    path = cached_weights_path(cache)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    chain = WeightsChain([LocalFolder(models), ConvertedWeights(cache), HuggingFaceHub()])
    sizes = {card.name: card.weights_bytes for card in Registry(models, chain.size_bytes).cards()}
    assert sizes["pair"] == sum(f.stat().st_size for s in "ab" for f in models.glob(f"{s * 4}-*"))
    assert sizes["my own"] == (models / "my own.safetensors").stat().st_size
    assert sizes["htdemucs"] == 5
    assert (sizes["half"], sizes["odd"], sizes["hdemucs_mmi"]) == (0, 0, 0)


def test_the_size_of_what_the_hubs_cache_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--adefossez--HTDemucs" / "snapshots" / "1234"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("1234")
    (snapshot / "htdemucs.yaml").write_text("models: [955717e8]")
    (snapshot / "955717e8.safetensors").write_bytes(b"1234567")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert HuggingFaceHub().size_bytes("htdemucs") == 7
    assert HuggingFaceHub().size_bytes("htdemucs_6s") == 0

"""Models in memory: which members a stem needs, and how weights are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from demucs.apply import BagOfModels

from services.separator.cores import available_cores
from services.separator.errors import UnknownModelError
from services.separator.models import describe_model
from services.separator.registry import Registry
from tests.separator_models import STEMS, tiny_htdemucs, write_bag


def test_a_single_network_gives_all_stems() -> None:
    model = describe_model("one", tiny_htdemucs())
    assert model.stems == tuple(STEMS)
    assert model.members_for(["bass"]) == (0,)
    assert model.stems_of([0]) == tuple(STEMS)
    assert (model.sample_rate_hz, model.channels) == (8_000, 2)
    assert model.members[0].segment_frames == 4_000


def test_with_one_hot_weights_a_stem_needs_one_network() -> None:
    weights = [[float(row == column) for column in range(4)] for row in range(4)]
    model = describe_model("ft", BagOfModels([tiny_htdemucs(seed) for seed in range(4)], weights))
    assert model.members_for(["vocals"]) == (3,)
    assert model.members_for(["bass", "drums"]) == (0, 1)
    assert model.stems_of([0, 3]) == ("drums", "vocals")


def test_with_mixed_weights_a_stem_needs_every_network_that_counts() -> None:
    model = describe_model(
        "mdx", BagOfModels([tiny_htdemucs(1), tiny_htdemucs(2)], [[1, 1, 0, 0], [0, 1, 1, 1]])
    )
    assert model.members_for(["drums"]) == (0,)
    assert model.stems_of([0]) == ("drums",)
    assert model.members_for(["bass"]) == (0, 1)
    assert model.members[0].shares == (1.0, 0.5, 0.0, 0.0)


def test_equal_weights_have_one_hash_in_whatever_wrapping() -> None:
    alone = describe_model("a", tiny_htdemucs(1))
    wrapped = describe_model("b", BagOfModels([tiny_htdemucs(1)]))
    other = describe_model("c", tiny_htdemucs(2))
    assert alone.weights_sha256 == wrapped.weights_sha256 != other.weights_sha256


def test_the_registry_knows_the_models_of_demucs_and_those_of_the_folder(tmp_path: Path) -> None:
    write_bag(tmp_path, "mine", {"aaaa": tiny_htdemucs()})
    registry = Registry(tmp_path)
    names = [card.name for card in registry.cards()]
    for name in ("htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi", "mdx_extra_q", "mine"):
        assert name in names
    assert registry.find("htdemucs_6s").stems == (*STEMS, "guitar", "piano")
    assert {card.tier for card in registry.cards()} == {"fast", "balanced", "best"}


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownModelError, match="htdemucs_ft"):
        Registry().find("spleeter")


def test_a_containers_limit_bounds_the_threads(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert available_cores(tmp_path / "cpu.max") == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available_cores(tmp_path / "cpu.max") >= 1
    assert available_cores(tmp_path / "missing") >= 1

"""Stems at rest: exact, at any offset, never half there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from services.runtime.blobs.folder import FolderBlobStore
from services.separator.spool import Spool
from services.separator.stem_store import Recipe, StemStore, StoredStem

RECIPE = Recipe("a" * 64, "htdemucs", "b" * 64, 0.25, 0)


def interleave(samples: np.ndarray) -> bytes:
    return samples.T.astype("<f4").tobytes()


def keep(store: StemStore, samples: np.ndarray, recipe: Recipe = RECIPE) -> StoredStem:
    with store.write() as writer:
        for block in np.array_split(samples, 3, axis=1):
            writer.write(interleave(block))
        stored = StoredStem(writer.commit(), samples.shape[1], 44_100, 2, writer.peak, "torch-cpu")
    store.keep(recipe, "vocals", stored)
    return stored


def loud() -> np.ndarray:
    return (3 * np.random.default_rng(0).standard_normal((2, 1000))).astype(np.float32)


def test_samples_above_full_scale_come_back_bit_for_bit_at_any_offset(tmp_path: Path) -> None:
    store = StemStore(FolderBlobStore(tmp_path))
    samples = loud()
    stored = keep(store, samples)
    assert stored.peak == pytest.approx(np.abs(samples).max())
    assert stored.peak > 1
    reader = store.open(store.find(RECIPE, ["vocals"])["vocals"])
    data = np.frombuffer(reader.read(123, 456), "<f4").reshape(-1, 2).T
    reader.close()
    assert np.array_equal(data, samples[:, 123:579])


def test_only_what_was_kept_is_found(tmp_path: Path) -> None:
    store = StemStore(FolderBlobStore(tmp_path))
    keep(store, loud())
    assert list(store.find(RECIPE, ["vocals", "drums"])) == ["vocals"]


@pytest.mark.parametrize(
    "change",
    [
        {"track_sha256": "c" * 64},
        {"model": "other"},
        {"weights_sha256": "c" * 64},
        {"overlap": 0.5},
        {"shifts": 1},
    ],
)
def test_everything_that_changes_the_samples_changes_the_key(
    tmp_path: Path, change: dict[str, object]
) -> None:
    store = StemStore(FolderBlobStore(tmp_path))
    keep(store, loud())
    assert not store.find(dataclasses.replace(RECIPE, **change), ["vocals"])  # type: ignore[arg-type]


def test_what_is_discarded_is_never_visible_and_leaves_nothing(tmp_path: Path) -> None:
    store = StemStore(FolderBlobStore(tmp_path))
    with store.write() as writer:
        writer.write(interleave(loud()))
    assert not store.find(RECIPE, ["vocals"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_record_whose_samples_are_gone_counts_for_nothing(tmp_path: Path) -> None:
    blobs = FolderBlobStore(tmp_path)
    store = StemStore(blobs)
    stored = keep(store, loud())
    blobs.delete(stored.blob_sha256)
    assert not store.find(RECIPE, ["vocals"])


def test_two_replicas_that_keep_the_same_do_no_harm(tmp_path: Path) -> None:
    samples = loud()
    stores = [StemStore(FolderBlobStore(tmp_path)) for _ in range(2)]
    assert keep(stores[0], samples) == keep(stores[1], samples)
    assert stores[0].find(RECIPE, ["vocals"]) == stores[1].find(RECIPE, ["vocals"])


def test_a_spool_can_be_read_while_it_grows_and_has_no_name_on_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ["vocals"], 8)
    samples = loud()
    spool.append("vocals", interleave(samples[:, :400]))
    assert spool.read("vocals", 100, 200) == interleave(samples[:, 100:300])
    spool.append("vocals", interleave(samples[:, 400:]))
    assert spool.read("vocals", 0, 1000) == interleave(samples)
    assert not list(tmp_path.iterdir())
    spool.close()

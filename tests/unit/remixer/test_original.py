"""An original is measured once: by the check of its upload, or else by its first render."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.demo.song import default_song
from services.remixer.original import read_measured
from services.runtime.audio.loudness import Loudness
from services.runtime.audio.measured import measure
from services.runtime.audio.measured_store import MeasuredStore
from services.runtime.blobs.folder import FolderBlobStore


def keep_song(store: FolderBlobStore) -> str:
    with store.create() as writer:
        writer.write(default_song().path.read_bytes())
        return writer.commit().sha256


def test_an_original_that_nobody_measured_is_measured_and_that_is_kept(tmp_path: Path):
    store = FolderBlobStore(tmp_path)
    sha256 = keep_song(store)
    found = read_measured(store, sha256)
    with default_song().path.open("rb") as file:
        assert found == measure(file)
    assert MeasuredStore(store).find(sha256) == found


def test_what_the_check_of_the_upload_measured_is_taken_as_it_is(tmp_path: Path):
    store = FolderBlobStore(tmp_path)
    sha256 = keep_song(store)
    known = replace(read_measured(store, sha256), loudness=Loudness(-5.0, 0.5))
    MeasuredStore(store).keep(sha256, known)
    assert read_measured(store, sha256) == known

"""Turns that nobody waits for say so to whoever computes for them."""

import hashlib
from pathlib import Path

import pytest

from tests.integration.gateway.conftest import Caller, Suite, noise_wav
from tests.integration.gateway.test_batches import completed, say, uploaded


@pytest.fixture
def new_song(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A song that no other test has."""
    path = tmp_path / "song.wav"
    seed = int.from_bytes(hashlib.sha256(request.node.name.encode()).digest()[:4])
    path.write_bytes(noise_wav(seconds=1.0, seed=seed))
    return path


def backgrounds(suite: Suite, song: Path) -> list[str]:
    """Returns for each separation of a song whether it was in the background."""
    sha256 = hashlib.sha256(song.read_bytes()).hexdigest()
    told = [line.split() for line in (suite.folder / "background").read_text().splitlines()]
    return [background for track, background in told if track == sha256]


async def test_a_batch_is_computed_in_the_background(suite, caller: Caller, new_song: Path):
    (track_id,) = await uploaded(caller, [new_song])
    begun = await say(caller, [track_id], "only the vocals")
    await completed(caller, [item.turn.turn_id for item in begun.turns])
    assert backgrounds(suite, new_song) == ["True"]


async def test_a_turn_with_a_reader_is_not(suite, caller: Caller, new_song: Path):
    (track_id,) = await uploaded(caller, [new_song])
    session = await caller.client.create_session(track_id)
    await session.ask("only the vocals")
    assert backgrounds(suite, new_song) == ["False"]

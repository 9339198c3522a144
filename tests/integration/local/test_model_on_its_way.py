"""`mixdown up` while its model is not there yet."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mixdown import connect
from mixdown.mix import Mix
from tests.integration.gateway.conftest import noise_wav
from tests.integration.local.test_mixdown_up import ROOT
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import tiny_htdemucs, write_bag


@dataclass
class Suite:
    models: Path
    address: str = ""
    lines: list[str] = field(default_factory=list)
    listens: threading.Event = field(default_factory=threading.Event)
    is_ready: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    """Its default model has a name and no weights, and there is no network to fetch them."""
    found = Suite(tmp_path / "models")
    found.models.mkdir()
    (found.models / "tiny.yaml").write_text(json.dumps({"models": ["aaaa"]}))
    process = subprocess.Popen(
        [sys.executable, "-m", "services.local", "--port", "0", "--data-folder", tmp_path / "data"],
        cwd=ROOT,
        env={
            "MIXDOWN_DEFAULT_MODEL": "tiny",
            "MIXDOWN_DEVICE": "cpu",
            "MIXDOWN_THREADS": "1",
            "MIXDOWN_MODEL_FOLDER": str(found.models),
            "HF_HUB_OFFLINE": "1",
            "HOME": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def read() -> None:
        for line in process.stdout or ():
            found.lines.append(line)
            if listens := re.match(r"Mixdown listens on (\S+)\.", line):
                found.address = listens[1]
                found.listens.set()
            if line.startswith("The model is ready."):
                found.is_ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert found.listens.wait(PATIENCE_SECONDS), "".join(found.lines)
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        reader.join(PATIENCE_SECONDS)


async def test_what_needs_no_model_need_not_wait_for_it_and_what_does_is_told(suite, tmp_path):
    song = tmp_path / "song.wav"
    song.write_bytes(noise_wav(1.0))
    async with connect(suite.address) as client:
        track = await client.upload(song)
        session = await client.create_session(track)
        quieter = Mix().change("mix", gain_db=-3.0)
        turn = await session.render(quieter, folder=tmp_path / "out")
        assert [file.name for file in turn.files] == ["mix"]
        assert not suite.is_ready.is_set()
        write_bag(suite.models, "tiny", {"aaaa": tiny_htdemucs(1)})
        assert suite.is_ready.wait(PATIENCE_SECONDS)
        session = await client.create_session(track)
        turn = await session.ask("only the vocals", folder=tmp_path / "out")
        assert [file.name for file in turn.files] == ["vocals"]
    assert any(line.startswith("Separations wait until the model is ready") for line in suite.lines)
    assert any("not ready" in line and "WEIGHTS_UNAVAILABLE" in line for line in suite.lines)

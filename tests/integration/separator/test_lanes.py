"""OpenVINO's two lanes: which segments go through them, and that nobody hears it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.separator.backends.openvino import OpenVinoBackend
from tests.integration.separator.conftest import running_separator, until_serving
from tests.integration.separator.test_api import collect, pcm
from tests.separator_models import STEMS

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's tracer explains itself


async def test_a_track_sounds_the_same_alone_and_among_others(tmp_path: Path) -> None:
    lanes = {"device": "openvino", "precision": "fp32", "threads": 2}
    async with running_separator(tmp_path / "alone", **lanes) as bench:
        alone = await collect(bench, bench.request(bench.put_music(12.0), *STEMS))
    async with running_separator(tmp_path / "among", **lanes) as bench:
        _, among, _ = await asyncio.gather(
            *(
                collect(bench, bench.request(bench.put_music(12.0, seed=seed), *STEMS))
                for seed in (2, 1, 3)
            )
        )
    for stem in STEMS:
        assert pcm(among, stem) == pcm(alone, stem)


@pytest.mark.parametrize("shifts", [0, 2])
async def test_what_opens_a_track_has_the_whole_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shifts: int
) -> None:
    """Each network's first segment of each shift: without all of them nothing is heard."""
    seen: list[bool] = []
    run = OpenVinoBackend.run

    def watched(*call: Any, undivided: bool = False) -> Any:
        seen.append(undivided)
        return run(*call, undivided=undivided)

    async with running_separator(
        tmp_path, device="openvino", precision="fp32", threads=2, default_model="pair"
    ) as bench:
        await until_serving(bench)
        monkeypatch.setattr(OpenVinoBackend, "run", watched)
        await collect(bench, bench.request(bench.put_music(12.0), *STEMS, shifts=shifts))
    opening = 2 * max(1, shifts)
    assert len(seen) > opening
    assert seen == [True] * opening + [False] * (len(seen) - opening)

"""A real song through the real htdemucs: as good as stock Demucs, on every backend.

The song is the example of the stempeg package, with its true stems; the weights come from where
the service gets them (`python -m services.separator fetch-weights` brings them here).
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model

from services.runtime.audio.reader import AudioReader, Samples
from services.runtime.blobs import open_blob_store
from services.separator.errors import WeightsUnavailableError
from services.separator.events import Audio, Finished, SeparationRequest
from services.separator.service import SeparatorService, weights_chain
from services.separator.settings import SeparatorSettings
from tests.separator_models import STEMS, snr_db

# SDR in dB of stock htdemucs (demucs 4.1.0, shifts=0, overlap 0.25) on this song.
STOCK_SDR_DB = {"drums": 10.4, "bass": 3.4, "other": 0.8, "vocals": 5.1}


def song() -> Path:
    spec = importlib.util.find_spec("stempeg")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0], "data").glob("*.stem.mp4"))


def read(stream: int) -> Samples:
    with AudioReader(song(), stream) as reader:
        return reader.read(10**9)


@pytest.fixture(scope="module")
def truth() -> dict[str, Samples]:
    return {stem: read(number) for number, stem in enumerate(STEMS, 1)}


@pytest.fixture(scope="module")
def stock() -> dict[str, Samples]:
    """What `demucs` itself gives, without random shifts."""
    try:
        network, _ = weights_chain(SeparatorSettings()).load("htdemucs")
    except WeightsUnavailableError as error:
        pytest.skip(error.message)
    mix = torch.from_numpy(read(0))
    ref = mix.mean(0)
    mean, deviation = ref.mean(), ref.std() + 1e-8
    with torch.inference_mode():
        out = apply_model(network, ((mix - mean) / deviation)[None], shifts=0, overlap=0.25)
    return dict(zip(STEMS, (out[0] * deviation + mean).numpy(), strict=True))


@pytest.fixture
async def separated(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[str, dict[str, Samples]]]:
    """What the separator gives on one device."""
    settings = SeparatorSettings(device=request.param, blob_store=str(tmp_path), preload=False)
    with open_blob_store(settings.blob_store).create() as writer:
        writer.write(song().read_bytes())
        track = writer.commit().sha256
    data = dict.fromkeys(STEMS, b"")
    backend = ""
    async with SeparatorService(settings) as service:
        async for event in service.separator.separate(SeparationRequest(track, "", tuple(STEMS))):
            if isinstance(event, Audio):
                data[event.stem] += event.pcm
            elif isinstance(event, Finished):
                backend = event.backend
    yield (
        backend,
        {stem: np.frombuffer(pcm, "<f4").reshape(-1, 2).T for stem, pcm in data.items()},
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("separated", ["cpu"], indirect=True)
def test_pytorch_on_a_cpu_gives_what_demucs_gives(
    stock: dict[str, Samples],
    truth: dict[str, Samples],
    separated: tuple[str, dict[str, Samples]],
) -> None:
    backend, stems = separated
    assert backend == "torch-cpu"
    for stem in STEMS:
        assert stems[stem].shape == truth[stem].shape
        assert snr_db(stock[stem], stems[stem]) >= 60
        assert snr_db(truth[stem], stems[stem]) == pytest.approx(STOCK_SDR_DB[stem], abs=0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("separated", ["openvino"], indirect=True)
def test_openvino_is_as_good_as_demucs(
    stock: dict[str, Samples],
    truth: dict[str, Samples],
    separated: tuple[str, dict[str, Samples]],
) -> None:
    backend, stems = separated
    assert backend == "openvino"
    for stem in STEMS:
        difference = snr_db(truth[stem], stems[stem]) - snr_db(truth[stem], stock[stem])
        assert abs(difference) <= 0.05, stem


@pytest.mark.cuda
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no NVIDIA GPU that PyTorch can use"
)
@pytest.mark.parametrize("separated", ["cuda"], indirect=True)
def test_cuda_is_as_good_as_demucs(
    stock: dict[str, Samples],
    truth: dict[str, Samples],
    separated: tuple[str, dict[str, Samples]],
) -> None:
    backend, stems = separated
    assert backend == "cuda"
    for stem in STEMS:
        difference = snr_db(truth[stem], stems[stem]) - snr_db(truth[stem], stock[stem])
        assert abs(difference) <= 0.05, stem

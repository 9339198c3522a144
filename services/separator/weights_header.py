"""What a file of weights says of its network, read without the weights.

Both of Demucs' formats name the network's class and what it was made with (`capture_init`) beside
the weights: a `.safetensors` file in its header, a `.th` file in a pickle within an archive. That
pickle is read here by an unpickler that knows no class but fractions: nothing in it is run.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

_DEFAULT_RATE_HZ = 44_100
_DEFAULT_CHANNELS = 2
"""Of every class of Demucs, where nothing else was said."""


@dataclass(frozen=True)
class WeightsHeader:
    """What is known of a network before it is loaded.

    Args:
        stems: What it splits a track into, in its order.
        sample_rate_hz: Its sampling rate.
        channels: Its channels.
        segment_seconds: Length of one segment; 0 where its class has its own.
    """

    stems: tuple[str, ...]
    sample_rate_hz: int
    channels: int
    segment_seconds: float


def read_header(path: Path) -> WeightsHeader | None:
    """Returns what a file says; None where it says nothing that is understood.

    Args:
        path: A `.safetensors` or `.th` file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        told = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
        return _header(*told)
    except (
        *(SafetensorError, zipfile.BadZipFile, pickle.UnpicklingError, EOFError),
        *(KeyError, TypeError, ValueError, AttributeError, IndexError),
    ):
        return None


def _header(args: Sequence[Any], kwargs: Mapping[str, Any]) -> WeightsHeader:
    stems = kwargs["sources"] if "sources" in kwargs else args[0]
    if not stems or not all(isinstance(stem, str) for stem in stems):
        raise TypeError("sources are names")
    return WeightsHeader(
        stems=tuple(stems),
        sample_rate_hz=int(kwargs.get("samplerate", _DEFAULT_RATE_HZ)),
        channels=int(kwargs.get("audio_channels", _DEFAULT_CHANNELS)),
        segment_seconds=float(kwargs.get("segment", 0)),
    )


def _read_safetensors(path: Path) -> tuple[Sequence[Any], Mapping[str, Any]]:
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
    kwargs = {name: _fraction(value) for name, value in json.loads(metadata["kwargs"]).items()}
    return json.loads(metadata["args"]), kwargs


def _fraction(value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    return value


def _read_pickled(path: Path) -> tuple[Sequence[Any], Mapping[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        package = _Describer(io.BytesIO(archive.read(name))).load()
    return package["args"], package["kwargs"]


_KNOWN = {
    ("fractions", "Fraction"): Fraction,
    ("collections", "OrderedDict"): OrderedDict,
}


class _Something:
    """Stands for whatever a pickle makes that is of no interest: classes, tensors."""

    def __new__(cls, *_: Any, **__: Any) -> _Something:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> _Something:
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...


class _Describer(pickle.Unpickler):
    """Reads the structure of a pickle, and makes nothing of what it names."""

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), _Something)

    def persistent_load(self, _: Any) -> Any:
        return _Something()

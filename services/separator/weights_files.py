"""Which files of a folder hold a model's weights, in the formats that Demucs has.

A model is one network, in `<name>.safetensors` or `<name>-<checksum>.th`, or a bag: `<name>.yaml`
names the signatures of its networks, whose files lie beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def models_in(folder: Path | None) -> tuple[str, ...]:
    """Returns the names of the models in a folder; none where it is not there."""
    if folder is None or not folder.is_dir():
        return ()
    files = sorted(folder.iterdir())
    bags = [file.stem for file in files if file.suffix == ".yaml"]
    # A file whose name carries a signature belongs to a bag, or is called by its signature.
    singles = [file.stem.split("-")[0] for file in files if file.suffix in {".th", ".safetensors"}]
    return tuple(dict.fromkeys([*bags, *singles]))


def read_bag(folder: Path, model: str) -> dict[str, Any]:
    """Returns what `<model>.yaml` says, `models` at least; of a model without one, itself.

    Raises:
        OSError: the file cannot be read.
        ValueError: it says nothing that is understood.
    """
    bag: dict[str, Any] = {"models": [model]}
    path = folder / f"{model}.yaml"
    if path.is_file():
        try:
            bag |= yaml.safe_load(path.read_text())
        except (yaml.YAMLError, TypeError) as error:
            raise ValueError(str(error)) from error
    if not isinstance(bag["models"], list) or not bag["models"]:
        raise ValueError("a bag names its networks")
    return bag


def file_of(folder: Path, signature: str) -> Path | None:
    """Returns the file of a network, in the order in which they are loaded; None without one."""
    names = (f"{signature}.safetensors", f"{signature}.th")
    for path in (*(folder / name for name in names), *folder.glob("*-*.th")):
        if path.is_file() and signature in {path.stem, path.stem.rsplit("-", 1)[0]}:
            return path
    return None


def size_in(folder: Path | None, model: str) -> int:
    """Returns how many bytes the files of a model's networks have; 0 where one is not there."""
    if folder is None:
        return 0
    try:
        files = [file_of(folder, str(name)) for name in read_bag(folder, model)["models"]]
        return 0 if None in files else sum(file.stat().st_size for file in files if file)
    except (OSError, ValueError):
        return 0

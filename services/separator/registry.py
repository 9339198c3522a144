"""The models that the separator knows, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.separator.errors import UnknownModelError

Tier = Literal["fast", "balanced", "best"]

FOUR_STEMS = ("drums", "bass", "other", "vocals")

LICENCE_NOTE = (
    "The weights are Meta's, released for research; the MIT licence of Demucs does not cover them."
)


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before its weights are there.

    Args:
        name: Its name, as Demucs calls it.
        stems: What it splits a track into, in the model's order; empty where only the weights
            tell (a model of the local folder).
        segment_seconds: Length of one segment; 0 where only the weights tell.
        members: Number of networks that are averaged; 0 where only the weights tell.
        tier: What a person would choose it for.
        description: One sentence, and what the licence allows.
        sample_rate_hz: The model's sampling rate.
        channels: The model's channels.
    """

    name: str
    stems: tuple[str, ...]
    segment_seconds: float
    members: int
    tier: Tier
    description: str
    sample_rate_hz: int = 44_100
    channels: int = 2


_KNOWN = (
    ModelCard(
        "htdemucs",
        FOUR_STEMS,
        7.8,
        1,
        "fast",
        f"Hybrid Transformer Demucs: the default. {LICENCE_NOTE}",
    ),
    ModelCard(
        "htdemucs_ft",
        FOUR_STEMS,
        7.8,
        4,
        "best",
        "Hybrid Transformer Demucs, one fine-tuned network per stem: up to four times the work. "
        + LICENCE_NOTE,
    ),
    ModelCard(
        "htdemucs_6s",
        (*FOUR_STEMS, "guitar", "piano"),
        7.8,
        1,
        "balanced",
        f"Hybrid Transformer Demucs with guitar and piano (the piano is poor). {LICENCE_NOTE}",
    ),
    ModelCard(
        "hdemucs_mmi",
        FOUR_STEMS,
        44.0,
        1,
        "fast",
        f"Hybrid Demucs v3, retrained on more music. {LICENCE_NOTE}",
    ),
    ModelCard(
        "mdx",
        FOUR_STEMS,
        44.0,
        4,
        "balanced",
        f"Four networks, winner of the MDX challenge on MusDB alone. {LICENCE_NOTE}",
    ),
    ModelCard(
        "mdx_extra",
        FOUR_STEMS,
        44.0,
        4,
        "balanced",
        f"Four Hybrid Demucs networks trained on more music. {LICENCE_NOTE}",
    ),
    ModelCard(
        "mdx_q", FOUR_STEMS, 44.0, 4, "balanced", f"`mdx` with quantised weights. {LICENCE_NOTE}"
    ),
    ModelCard(
        "mdx_extra_q",
        FOUR_STEMS,
        44.0,
        4,
        "balanced",
        f"`mdx_extra` with quantised weights: a smaller download. {LICENCE_NOTE}",
    ),
)


class Registry:
    """Every model that can be asked for: those of Demucs and those of the local folder."""

    def __init__(self, model_folder: Path | None = None) -> None:
        self._cards = {card.name: card for card in _KNOWN}
        for name in _names_in(model_folder):
            self._cards.setdefault(name, _local_card(name))

    def find(self, name: str) -> ModelCard:
        """Returns what is known of the model `name`. Raises UnknownModelError."""
        card = self._cards.get(name)
        if card is None:
            raise UnknownModelError(
                f"There is no model {name!r}. There are: {', '.join(self._cards)}.",
                metadata={"model": name},
            )
        return card

    def cards(self) -> tuple[ModelCard, ...]:
        """Returns every model."""
        return tuple(self._cards.values())


def _local_card(name: str) -> ModelCard:
    return ModelCard(name, (), 0.0, 0, "balanced", "A model of this installation's own folder.")


def _names_in(folder: Path | None) -> Iterable[str]:
    if folder is None or not folder.is_dir():
        return ()
    files = sorted(folder.iterdir())
    bags = [file.stem for file in files if file.suffix == ".yaml"]
    # A file whose name carries a signature belongs to a bag, or is called by its signature.
    singles = [file.stem.split("-")[0] for file in files if file.suffix in {".th", ".safetensors"}]
    return dict.fromkeys([*bags, *singles])

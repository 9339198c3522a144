"""The models that the separator knows, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import structlog

from services.separator.errors import UnknownModelError
from services.separator.weights_files import file_of, models_in, read_bag
from services.separator.weights_header import read_header

_log = structlog.get_logger("mixdown.separator.registry")

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
        stems: What it splits a track into, in the model's order; empty where nothing tells (a
            model of the local folder whose files are not there or not understood).
        segment_seconds: Length of one segment; 0 where only the loaded model tells.
        members: Number of networks that are averaged; 0 where nothing tells.
        tier: What a person would choose it for.
        description: One sentence, and what the licence allows.
        sample_rate_hz: The model's sampling rate.
        channels: The model's channels.
        weights_bytes: Size of the files of its weights, where they are here; else 0.
    """

    name: str
    stems: tuple[str, ...]
    segment_seconds: float
    members: int
    tier: Tier
    description: str
    sample_rate_hz: int = 44_100
    channels: int = 2
    weights_bytes: int = 0


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
    """Every model that can be asked for: those of Demucs and those of the local folder.

    What is put into the folder while this process runs is found when it is asked for.

    Args:
        model_folder: The local folder.
        size_of: Tells the size of the files of a model's weights that are here, 0 for none.
    """

    def __init__(
        self, model_folder: Path | None = None, size_of: Callable[[str], int] = lambda _: 0
    ) -> None:
        self._folder = model_folder
        self._size_of = size_of
        self._cards = {card.name: card for card in _KNOWN}
        self._look()

    def find(self, name: str) -> ModelCard:
        """Returns what is known of the model `name`. Raises UnknownModelError."""
        if name not in self._cards:
            self._look()
        card = self._cards.get(name)
        if card is None:
            raise UnknownModelError(
                f"There is no model {name!r}. There are: {', '.join(self._cards)}.",
                metadata={"model": name},
            )
        return card

    def cards(self) -> tuple[ModelCard, ...]:
        """Returns every model. Of those of the folder it reads what their files say, once."""
        self._look()
        for name, card in self._cards.items():
            if not card.stems and self._folder is not None:
                self._cards[name] = _read_card(self._folder, card)
        return tuple(
            replace(card, weights_bytes=self._size_of(card.name)) for card in self._cards.values()
        )

    def _look(self) -> None:
        """Takes note of what is in the folder now."""
        local = {
            name: self._cards.get(name) or _local_card(name) for name in models_in(self._folder)
        }
        self._cards = {**local, **{card.name: card for card in _KNOWN}}


def _local_card(name: str) -> ModelCard:
    return ModelCard(name, (), 0.0, 0, "balanced", "A model of this installation's own folder.")


def _read_card(folder: Path, card: ModelCard) -> ModelCard:
    """Returns the card of a model of the folder with what its first file says; else as it is."""
    try:
        bag = read_bag(folder, card.name)
        file = file_of(folder, str(bag["models"][0]))
        header = None if file is None else read_header(file)
    except (OSError, ValueError) as error:
        _log.info("files of a model not understood", model=card.name, why=str(error))
        return card
    if header is None:
        return card
    return replace(
        card,
        stems=header.stems,
        segment_seconds=float(bag.get("segment") or header.segment_seconds),
        members=len(bag["models"]),
        sample_rate_hz=header.sample_rate_hz,
        channels=header.channels,
    )

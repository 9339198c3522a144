"""A clause: one instruction of a prompt, with what belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from services.interpreter.language.lexemes import Lexeme, Number, Span
from services.interpreter.language.vocabulary import Reading

INSTRUMENT_KINDS = (
    "instrument_vocals",
    "instrument_drums",
    "instrument_bass",
    "instrument_other",
)
NAMED_KINDS = ("target", "six", "group", *INSTRUMENT_KINDS)
TARGET_KINDS = (*NAMED_KINDS, "pronoun")
ACTION_KINDS = (
    "up", "down", "mute", "unmute", "separate", "file", "remove", "off", "reverb", "compression",
    "pitch", "pan", "side", "eq", "region", "tone", "filter", "undo", "redo", "reset",
    "unsupported", "neutral",
    "double", "leave", "less", "more", "even", "enough", "vague", "back", "toomuch",
    "echo", "chorus", "distortion", "width", "fade",
)  # fmt: skip
VERB_KINDS = (
    "set", "add", "give", "mute", "unmute", "separate", "remove", "undo", "redo", "reset", "leave",
    "not", "only",
)  # fmt: skip
VERB_READINGS = {
    ("up", "plain"),
    ("up", "crank"),
    ("down", "plain"),
    ("down", "cut"),
    ("down", "drop"),
}
COLORING_KINDS = ("echo", "chorus", "distortion", "width", "fade")
EFFECT_KINDS = (
    "reverb", "compression", "pitch", "pan", "side", "eq", "region", "tone", "filter",
    *COLORING_KINDS,
)  # fmt: skip
DIRECTION_KINDS = ("up", "down", "more", "less", "add", "remove", "toomuch", "give")
PARAMETER_KINDS = (
    "small",
    "big",
    "light",
    "q",
    "hard",
    "halfway",
    "bound",
    "medium",
    "max",
    "half",
    "span",
)


FARTHEST = 16
"""How many words that say nothing may stand between two words that belong together."""
LONGEST = 80
"""How many words one instruction may have; what is longer is cut, so that the work is bounded."""


@dataclass(frozen=True)
class Clause:
    """One instruction.

    Args:
        lexemes: Its words.
        joiner: What stood before it: "." "," ":" "and" "but" "with", or "" for the start.
        is_question: Whether its sentence ends with a question mark.
        previous: The clause before, which a short one varies ("… and the bass 2 dB").
    """

    lexemes: tuple[Lexeme, ...]
    joiner: str = ""
    is_question: bool = False
    previous: Clause | None = None

    def has(self, kind: str, *values: str) -> bool:
        """Whether a lexeme has a reading of this kind (and one of the values)."""
        if not values:
            return kind in self._kinds
        return any((kind, value) in self._readings for value in values)

    def any_of(self, kinds: Iterable[str]) -> bool:
        """Whether a lexeme has a reading of one of these kinds."""
        return not self._kinds.isdisjoint(kinds)

    @cached_property
    def _readings(self) -> frozenset[Reading]:
        return frozenset(reading for item in self.lexemes for reading in item.readings)

    @cached_property
    def _kinds(self) -> frozenset[str]:
        return frozenset(kind for kind, _ in self._readings)

    def index(self, kind: str, *values: str) -> int:
        """Returns the place of the first such lexeme, −1 for none."""
        return next((i for i, item in enumerate(self.lexemes) if item.has(kind, *values)), -1)

    def with_kind(self, kind: str) -> list[Lexeme]:
        """Returns the lexemes that have a reading of this kind."""
        return [item for item in self.lexemes if item.has(kind)]

    def values(self, kind: str) -> list[str]:
        """Returns the values of all readings of this kind, in order, each once."""
        return list(dict.fromkeys(item.value(kind) for item in self.lexemes if item.has(kind)))

    def numbers(self, *units: str) -> list[Number]:
        """Returns the numbers with one of these units, all where none is given."""
        found = [item.number for item in self.lexemes if item.number]
        return [number for number in found if not units or number.unit in units]

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(item.text for item in self.lexemes if not item.mark)

    @property
    def spans(self) -> list[Span]:
        """The stretches of the track that it is about."""
        return [item.span for item in self.lexemes if item.span]

    @property
    def unknown(self) -> list[str]:
        """Words without a meaning."""
        return [item.text for item in self.lexemes if item.is_unknown]

    @property
    def has_named_target(self) -> bool:
        """Whether a target, a group or an instrument is named."""
        return self.any_of(NAMED_KINDS)

    @property
    def has_action(self) -> bool:
        """Whether something is to be done."""
        if self.any_of(ACTION_KINDS) or self.numbers("hz"):
            return True
        return any(number.unit in {"db", "semitone"} and number.signed for number in self.numbers())

    @property
    def has_said_something(self) -> bool:
        """Whether there is an instruction that another target can join."""
        return self.has_action or self.any_of(("give", "only", "add", "accept", "pronoun"))

    @property
    def has_verb(self) -> bool:
        """Whether it starts like a command."""
        for item in self.lexemes:
            if any(item.has(kind) for kind in TARGET_KINDS):
                return False
            if is_verb(item):
                return True
        return False

    @property
    def is_target_first(self) -> bool:
        """Whether a target stands before what is to be done."""
        for item in self.lexemes:
            if any(item.has(kind) for kind in TARGET_KINDS):
                return True
            if any(item.has(kind) for kind in (*ACTION_KINDS, *VERB_KINDS)) or item.number:
                return False
        return False

    def without(self, drop: Callable[[Lexeme], bool]) -> Clause:
        """Returns this clause without some lexemes."""
        return replace(self, lexemes=tuple(item for item in self.lexemes if not drop(item)))


def is_verb(item: Lexeme) -> bool:
    """Whether a word starts a command."""
    return any(item.has(kind) for kind in VERB_KINDS) or bool(VERB_READINGS & set(item.readings))


def is_filler(item: Lexeme) -> bool:
    """Whether a word says nothing by itself."""
    for kind, _ in item.readings:  # a loop: this is asked thousands of times a prompt
        if kind not in _SAYING_NOTHING:
            return False
    return bool(item.readings)


_SAYING_NOTHING = frozenset(
    {"filler", "also", "complaint", "of", "in", "to", "by", "for", "with", "unit", "step"}
)

"""The vocabulary of the built-in engine, read once from `vocabulary.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

Reading = tuple[str, str]
"""What a phrase means: its kind ("target") and value ("vocals")."""

_NOT_PHRASES = frozenset({"guard", "spelling", "foreign", "phrasal"})

_WITH_OBJECT = frozenset({"up", "down", "mute", "unmute", "separate", "compression"})
_OBJECTS = frozenset({"it", "them"})
"""Pronouns inside of phrases ("turn it down") that still say what is meant."""


@dataclass
class _Node:
    readings: list[Reading] = field(default_factory=list)
    next: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Vocabulary:
    """Phrases as a tree of words, and the words that typing errors are corrected to.

    Args:
        root: The tree.
        words: Every word of every phrase.
        corrections: Fixed corrections of short words.
        guarded: More words that are never corrected.
        english: English words, which are corrected only to another form of themselves.
        foreign: Common words of other languages.
        single: Readings of phrases of one word.
        phrasal: Readings of verbs whose particle may stand apart ("shut … up").
    """

    root: _Node
    words: frozenset[str]
    corrections: Mapping[str, str]
    guarded: frozenset[str]
    english: frozenset[str]
    foreign: frozenset[str]
    single: Mapping[str, tuple[Reading, ...]]
    phrasal: Mapping[tuple[str, str], Reading]

    def longest(self, words: list[str], start: int) -> tuple[int, tuple[Reading, ...]]:
        """Returns the length in words and the readings of the longest phrase at `start`."""
        node, best, readings = self.root, 0, []
        for index in range(start, len(words)):
            following = node.next.get(words[index])
            if following is None:
                break
            node = following
            if node.readings:
                best, readings = index - start + 1, node.readings
        return best, tuple(readings)


@cache
def vocabulary() -> Vocabulary:
    """Returns the vocabulary."""
    document = tomllib.loads(
        files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8")
    )
    root = _Node()
    words: set[str] = set()
    for kind, values in document.items():
        if kind in _NOT_PHRASES:
            continue
        for value, phrases in values.items():
            for phrase in phrases:
                _insert(root, phrase.split(), (kind, value))
                if kind in _WITH_OBJECT:
                    for pronoun in _OBJECTS & set(phrase.split()):
                        _insert(root, phrase.split(), ("pronoun", pronoun))
                words.update(phrase.split())
    corrections = {typed: right for right, typos in document["spelling"].items() for typed in typos}
    return Vocabulary(
        root=root,
        words=frozenset(words),
        corrections=corrections,
        guarded=frozenset(document["guard"]["guard"]),
        english=_english_words(),
        foreign=frozenset(
            word for word in document["foreign"]["foreign"] if word not in words or word == "die"
        ),
        phrasal=_phrasal(document["phrasal"]),
        single={word: tuple(node.readings) for word, node in root.next.items() if node.readings},
    )


def _english_words() -> frozenset[str]:
    text = files(__package__).joinpath("english_words.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.split())


def _phrasal(document: Mapping[str, list[str]]) -> dict[tuple[str, str], Reading]:
    found: dict[tuple[str, str], Reading] = {}
    for reading, verbs in document.items():
        kind, value = reading.split()
        for verb in verbs:
            word, particle = verb.split(maxsplit=1)
            found[word, particle] = (kind, value)
    return found


def _insert(root: _Node, words: list[str], reading: Reading) -> None:
    node = root
    for word in words:
        node = node.next.setdefault(word, _Node())
    if reading not in node.readings:
        node.readings.append(reading)

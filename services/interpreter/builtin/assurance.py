"""Whether the words around an instruction say that it is meant as one.

The grammar reads what is to be done; what it cannot use it passes over. Here the words that it
passed over are weighed. A request has few shapes ("turn …", "can you …", "I want …", "the bass
needs …", "the bass is too …", "more bass"). A stretch of a prompt that would change something and
has none of them tells, asks, quotes or supposes; then it is asked for first, for a "yes" is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise

from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    NAMED_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.builtin.complaints import TOO
from services.interpreter.builtin.splitting import pieces_of_speech
from services.interpreter.builtin.statements import is_complaint
from services.interpreter.language.lexemes import Lexeme, lexemes_of
from services.interpreter.language.vocabulary import vocabulary
from services.interpreter.language.word_classes import (
    ADVERBS,
    ASSERTING,
    COPULAS,
    MODALS,
    OTHER_TIMES,
    PERCEIVING,
    PERSONS,
    PREPOSITIONS,
    SUPPOSING,
    THINKING,
    THIRD_PERSONS,
    WISHING,
)


@dataclass(frozen=True)
class _Stretch:
    """A piece of a prompt as it was said, and how the grammar read its words."""

    said: Clause
    read: Mapping[int, Lexeme]

    @cached_property
    def core(self) -> int:
        """Where what is to be done begins."""
        return next(
            (i for i, item in enumerate(self.said.lexemes) if _acts(item) and not _is_person(item)),
            0,
        )

    @property
    def before(self) -> tuple[Lexeme, ...]:
        return self.said.lexemes[: self.core]

    @property
    def after(self) -> tuple[Lexeme, ...]:
        return self.said.lexemes[self.core + 1 :]

    @cached_property
    def unread(self) -> frozenset[str]:
        return frozenset(item.text for item in self.said.lexemes if self.is_unread(item))

    def is_unread(self, item: Lexeme) -> bool:
        """Whether nothing became of a word that is not known."""
        if not item.is_unknown or item.text in _HARMLESS or item.text in _parts_of_verbs():
            return False
        return self.read.get(item.place, item).is_unknown


_HARMLESS = {
    "along", "away", "apart", "else", "once", "sides", "de", "per", "third", "fourth", "fifth",
    "link", "hell",
}  # fmt: skip
"""Words that are not known and yet change nothing of what is asked for."""


@cache
def _parts_of_verbs() -> frozenset[str]:
    """Words of verbs whose particle stands apart: "pull … out"."""
    return frozenset(word for verb in vocabulary().phrasal for word in verb)


_QUOTE = re.compile(r"[\"“„]([^\"“”„]+)[\"”]|(?<!\w)['‘]([^'‘’]{8,})['’](?!\w)")


def quotations(prompt: str) -> tuple[frozenset[str], ...]:
    """Returns the words of each quotation of several words; none where all of it is one."""
    found = [match[1] or match[2] for match in _QUOTE.finditer(prompt)]
    if not found:
        return ()
    rest = [item for item in lexemes_of(_QUOTE.sub(" ", prompt)) if not item.mark]
    if all(is_filler(item) or item.has("greeting") for item in rest):
        return ()
    words = [frozenset(item.text for item in lexemes_of(quote)) for quote in found]
    return tuple(quoted for quoted in words if len(quoted) > 1)


def unsure_words(
    said: list[Lexeme], acted: Iterable[Clause], quoted: Iterable[frozenset[str]] = ()
) -> str:
    """Returns the first words that something was found in and that do not ask for it; "" for none.

    Args:
        said: The prompt as it was said, each word with its place.
        acted: The clauses that something was found in to be carried out.
        quoted: The words of what the prompt quotes.
    """
    read = {item.place: item for clause in acted for item in clause.lexemes if item.place >= 0}
    if not read:
        return ""
    inferred = any(item == TOO and item.place < 0 for clause in acted for item in clause.lexemes)
    if inferred and any(item.has("greeting", "praise") or item.has("ok") for item in said):
        return " ".join(item.text for item in said if not item.mark)  # "it's loud and I love it"
    supposed = False
    pieces = list(_pieces(said))
    reported = next((i for i, piece in enumerate(pieces) if _says_who(piece)), 0)
    if reported and _is_acted_on(pieces[reported - 1], read):
        return pieces[reported - 1].text  # "mute the drums, says my wife"
    for index, piece in enumerate(pieces):
        if piece.joiner in {".", "?"}:
            supposed = False
        supposed = supposed or _supposes(piece)
        contradicted = pieces[index + 1 : index + 2] and pieces[index + 1].joiner == "but"
        if not _is_acted_on(piece, read) or _is_picture(piece, said):
            continue
        stretch = _Stretch(piece, read)
        cited = any(words.issuperset(i.text for i in piece.lexemes) for words in quoted)
        disputed = contradicted and _wants_for_others(piece)
        if cited or supposed or disputed or any(doubts(stretch) for doubts in _DOUBTS):
            return piece.text
    return ""


def _says_who(piece: Clause) -> bool:
    """Whether a piece tells who said what stands before it."""
    return piece.lexemes[0].text in {"says", "said", "thinks", "reckons", "claims", "insists"}


def _wants_for_others(piece: Clause) -> bool:
    """Whether somebody else's wish is told: "a friend of mine wants louder drums, but …"."""
    return any(item.text == "wants" or item.has("says") for item in piece.lexemes)


_THE_MORE = re.compile(r"the (more|less|louder|quieter)\b.* the (worse|better|more|less)\b")


def _supposes(piece: Clause) -> bool:
    """Whether what follows is wanted on a condition: "only if it doesn't hurt, raise the bass"."""
    words = f"{piece.text} "
    if words.startswith(SUPPOSING) or _THE_MORE.match(words):
        return True
    place = piece.index("conditional")
    return place >= 0 and not any(map(_asks, piece.lexemes[:place]))


def _is_acted_on(piece: Clause, read: Mapping[int, Lexeme]) -> bool:
    """Whether something was found in a piece to be carried out."""
    used = Clause(tuple(read[item.place] for item in piece.lexemes if item.place in read))
    if used.has_action or used.numbers() or used.any_of(("only", "add")):
        return True
    return used.any_of(("set", "give")) and used.any_of(NAMED_KINDS)


def _is_picture(piece: Clause, said: list[Lexeme]) -> bool:
    """Whether "you know how it sounds outside of a club?" is told before "do that"."""
    return piece.text.startswith("you know") and any(item.text == "do that" for item in said)


def _pieces(said: list[Lexeme]) -> Iterator[Clause]:
    """Yields a prompt in pieces, cut also where a reason begins or ends."""
    for piece in pieces_of_speech(said):
        cuts = [i for i, item in enumerate(piece.lexemes) if item.has("reason") and i]
        for start, end in pairwise([0, *cuts, len(piece.lexemes)]):
            yield replace(piece, lexemes=piece.lexemes[start:end])


_ACTING = frozenset((*ACTION_KINDS, "set", "add", "give"))


def _acts(item: Lexeme) -> bool:
    """Whether a word asks for something to be done, where it is part of a request."""
    return item.number is not None or any(kind in _ACTING for kind, _ in item.readings)


def _is_name(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in NAMED_KINDS)


def _asks(item: Lexeme) -> bool:
    """Whether a word opens a request: "please", "could you", "I want", "needs"."""
    if item.has("filler", "polite"):
        return item.text != "would be"
    if item.has("need") or item.has("says") or item.has("give") or item.text in {"can", "could"}:
        return True
    return item.text.split()[-1] in WISHING


def _is_person(item: Lexeme) -> bool:
    """Whether somebody is spoken of who may do or say something."""
    if item.has("filler", "polite") or any(item.has(k) for k in ("give", "group", "up", "need")):
        return False
    first = item.text.split()[0]
    return item.text.startswith("no one") or (
        first in PERSONS and (first not in _SOME or first == item.text)
    )


# --- What each doubt is about --------------------------------------------------------------------


def _has_unread_subject(stretch: _Stretch) -> bool:
    """Whether someone or something else acts: "the last engineer cut all the highs"."""
    before = stretch.before
    if before and before[0].has("filler", "word") and before[0].text.startswith("there "):
        return False  # "there's a nasty ringing around 800 Hz"
    for index, item in enumerate(before):
        if not stretch.is_unread(item):
            continue
        led = any(found.has("for") or found.has("like") for found in before[:index])
        if led or any(_asks(found) for found in stretch.said.lexemes[: stretch.core + 1]):
            continue
        following = stretch.said.lexemes[index + 1]
        opens = following.has("filler", "article") or _is_name(following) or _leads(following)
        opens = opens or following.has("filter")
        opens = index == 0 and (opens or bool(following.number))
        if not (opens or following.text in {"me", "us"}):
            return True  # not "pich the vocals down", "the drums bother me"
    return False


def _has_unread_object(stretch: _Stretch) -> bool:
    """Whether what is known was only part of what was said: "the vocals give me goosebumps"."""
    items = stretch.said.lexemes
    for index in range(stretch.core + 1, len(items)):
        if stretch.is_unread(items[index]):
            return not any(_leads(item) for item in items[stretch.core + 1 : index])
    return False


def _leads(item: Lexeme) -> bool:
    kinds = ("for", "like", "in", "to", "by", "with", "reason", "than", "of")
    return item.text in PREPOSITIONS or any(item.has(kind) for kind in kinds)


def _has_other_subject(stretch: _Stretch) -> bool:
    """Whether somebody is told of: "he yelled turn it down", "nobody asked for more bass"."""
    items = stretch.said.lexemes
    for index, item in enumerate(stretch.before):
        if item.has("like"):
            return False  # "… as though she is singing in a cathedral"
        following = items[index + 1] if index + 1 < len(items) else item
        asked = index > 0 and items[index - 1].has("filler", "polite")
        if not _is_person(item) or asked or following.has("remove"):
            continue
        words = [w for found in items[index:] for w in found.text.split()][1:]
        said = [word for word in words if word not in ADVERBS]
        if item.text.startswith("they") and is_complaint(stretch.said):
            continue  # "now they're too harsh"
        if item.text in _SOME:
            if said and said[0] in THINKING:
                return True
            continue
        if said[:2] == ["at", "it"]:
            continue  # "while you're at it"
        able = len(said) > 1 and said[0] in MODALS
        perceives = able and (said[1] in PERCEIVING or said[1] in stretch.unread)
        regrets = words[:2] == ["should", "have"] or words[:3] == ["should", "not", "have"]
        forbids = item.text == "you" and words[:2] == ["can", "not"]
        if (
            regrets
            or forbids
            or perceives
            or not said
            or not (said[0] in WISHING or said[0] in MODALS)
        ):
            return True
    return False


_SOME = {"some", "others", "people"}


def _is_reported(stretch: _Stretch) -> bool:
    """Whether a wish is somebody else's: "the sticker on my amp says more bass"."""
    says = any(item.has("says") and item.text.split()[0] != "i" for item in stretch.said.lexemes)
    return says and not (stretch.said.has("need") or is_complaint(stretch.said))


def _is_of_another_time(stretch: _Stretch) -> bool:
    """Whether it is not for now: "I will mute the drums later", "usually I turn it up"."""
    said = f" {stretch.said.text} "
    timed = any(f" {time} " in said for time in OTHER_TIMES) or said.startswith(" normal ")
    return timed and not is_complaint(stretch.said)


def _asks_back(stretch: _Stretch) -> bool:
    """Whether an answer is wanted: "would you say the bass is too loud?"."""
    words = [w for item in stretch.said.lexemes for w in item.text.split()]
    place = next((i for i, word in enumerate(words[:3]) if word == "you"), -1)
    following = next((word for word in words[place + 1 :] if word not in ADVERBS), "")
    if place >= 0 and following in THINKING:
        return True
    asked = next((i for i, item in enumerate(stretch.before) if item.has("question")), -1)
    if asked >= 0 and not any(map(_asks, stretch.said.lexemes)):
        return True
    return stretch.said.lexemes[-1].has("question") and stretch.said.is_question


def _is_spoken_about(stretch: _Stretch) -> bool:
    """Whether something is said of a change: "louder vocals would be a mistake"."""
    items = stretch.said.lexemes
    if is_complaint(stretch.said) or stretch.said.any_of(("covers", "like", "says")):
        return False
    if any(item.text.endswith(" if") for item in items):
        return False  # "what would this sound like if nobody was singing"
    if is_verb(items[stretch.core]) and not items[stretch.core].text.split()[0].endswith("ing"):
        return False  # "put the drums back the way they were"
    for index in range(stretch.core + 1, len(items)):
        if items[index].text not in ASSERTING or any(map(_asks, items[:index])):
            continue
        rest = Clause(items[index + 1 :])
        asked = any(item.has("filler", "polite") for item in rest.lexemes)
        praised = rest.any_of(("too", "toomuch", "enough", "greeting", "accept"))
        helps = rest.has("help") and items[index].text not in COPULAS
        return not (asked or praised or helps)
    return False


def _is_undecided(stretch: _Stretch) -> bool:
    """Whether it is left open: "not sure about muting the drums", "lift them off the track"."""
    opening = stretch.said.lexemes[: stretch.core + 1]
    if any(item.has("vague") and item.text.split()[-1] in _UNSURE for item in opening):
        return True
    away = any(item.text.startswith("off ") for item in stretch.after)
    return away and stretch.said.has("up")


_UNSURE = {"sure", "idea", "clue"}


def _is_doing(stretch: _Stretch) -> bool:
    """Whether something is told to be done: "that voice cuts right through"."""
    item = stretch.said.lexemes[stretch.core]
    if item.text in THIRD_PERSONS:
        return True
    doing = item.text.split()[0].endswith("ing") and _is_done_to(item)
    return doing and any(found.has("vague") or found.has("greeting") for found in stretch.before)


def _is_done_to(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("mute", "up", "down", "remove", "add", "set"))


def _names_something_else(stretch: _Stretch) -> bool:
    """Whether it is about no sound of the song: "turn the lights down", "lower your voice"."""
    items = stretch.said.lexemes
    if any(i.text == "your" and f.text.startswith("voice") for i, f in pairwise(items)):
        return True
    if any(map(_is_name, items)):
        return False
    for index in range(stretch.core + 1, len(items)):
        if _leads(items[index]):
            return False
        things = ("device", "light") if items[index - 1].has("filler", "article") else ()
        if any(items[index].has(kind) or items[index].has("small", kind) for kind in things):
            return True
    return False


_DOUBTS = (
    _has_unread_subject,
    _has_unread_object,
    _has_other_subject,
    _is_reported,
    _is_of_another_time,
    _asks_back,
    _is_spoken_about,
    _is_undecided,
    _is_doing,
    _names_something_else,
)

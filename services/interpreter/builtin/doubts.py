"""Reasons to doubt that a stretch of a prompt asks for what was found in it."""

from __future__ import annotations

from itertools import pairwise

from services.interpreter.builtin.clauses import Clause, is_verb
from services.interpreter.builtin.statements import is_complaint
from services.interpreter.builtin.stretches import (
    SOME,
    Stretch,
    asks,
    is_name,
    is_person,
    leads,
)
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import (
    ADVERBS,
    ANYBODY,
    ASSERTING,
    COPULAS,
    MODALS,
    OTHER_TIMES,
    PERCEIVING,
    THINKING,
    THIRD_PERSONS,
    WISHING,
)


def _has_unread_subject(stretch: Stretch) -> bool:
    """Whether someone or something else acts: "the last engineer cut all the highs"."""
    before = stretch.before
    if before and before[0].has("filler", "word") and before[0].text.startswith("there "):
        return False  # "there's a nasty ringing around 800 Hz"
    for index, item in enumerate(before):
        if not stretch.is_unread(item):
            continue
        led = any(found.has("for") or found.has("like") for found in before[:index])
        if led or _asks_before(stretch):
            continue
        following = stretch.said.lexemes[index + 1]
        opens = following.has("filler", "article") or is_name(following) or leads(following)
        opens = opens or following.has("filter")
        opens = index == 0 and (opens or bool(following.number))
        if not (opens or following.text in {"me", "us"}):
            return True  # not "pich the vocals down", "the drums bother me"
    return False


def _asks_before(stretch: Stretch) -> bool:
    """Whether a request is opened; "my old software could mute it" opens none."""
    opening = stretch.said.lexemes[: stretch.core + 1]
    return any(
        asks(item) and (index == 0 or item.text not in {"can", "could"} or is_person(opening[-2]))
        for index, item in enumerate(opening)
    )


def _has_unread_object(stretch: Stretch) -> bool:
    """Whether what is known was only part of what was said: "the vocals give me goosebumps"."""
    items = stretch.said.lexemes
    for index in range(stretch.core + 1, len(items)):
        if stretch.is_unread(items[index]):
            return not any(leads(item) for item in items[stretch.core + 1 : index])
    return False


def _has_other_subject(stretch: Stretch) -> bool:
    """Whether somebody is told of: "he yelled turn it down", "nobody asked for more bass"."""
    items = stretch.said.lexemes
    for index, item in enumerate(stretch.before):
        if item.has("like"):
            return False  # "… as though she is singing in a cathedral"
        following = items[index + 1] if index + 1 < len(items) else item
        asked = index > 0 and items[index - 1].has("filler", "polite")
        if not is_person(item) or asked or following.has("remove"):
            continue
        if item.text.startswith("they") and is_complaint(stretch.said):
            continue  # "now they're too harsh"
        own = len(item.text.split()) if item.has("reason") else 1
        words = [word for found in items[index:] for word in found.text.split()][own:]
        if _tells_of(item.text, words, stretch.unread):
            return True
    return False


def _tells_of(person: str, words: list[str], unread: frozenset[str]) -> bool:
    """Whether the words behind a person tell what is done, and not what is wished."""
    said = [word for word in words if word not in ADVERBS]
    if person in SOME:
        return bool(said) and said[0] in THINKING
    if said[:2] == ["at", "it"]:
        return False  # "while you're at it"
    if words[:2] == ["should", "have"] or words[:3] == ["should", "not", "have"]:
        return True  # "I should have lowered the drums"
    if (person, words[:1]) == ("i", ["should"]) or (person, words[:2]) == ("you", ["can", "not"]):
        return True  # "maybe I should mute them", "you can't just mute them"
    if said and person in ANYBODY and said[0] in MODALS:
        return True  # "anyone can turn up a bass"
    if len(said) > 1 and said[0] in MODALS:
        return said[1] in PERCEIVING or said[1] in unread  # "I can hear …", "you could argue …"
    return not said or not (said[0] in WISHING or said[0] in MODALS)


def _is_reported(stretch: Stretch) -> bool:
    """Whether a wish is somebody else's: "the sticker on my amp says more bass"."""
    says = any(item.has("says") and item.text.split()[0] != "i" for item in stretch.said.lexemes)
    return says and not (stretch.said.has("need") or is_complaint(stretch.said))


def _is_of_another_time(stretch: Stretch) -> bool:
    """Whether it is not for now: "I will mute the drums later", "usually I turn it up"."""
    said = f" {stretch.said.text} "
    timed = any(f" {time} " in said for time in OTHER_TIMES) or said.startswith(" normal ")
    return timed and not is_complaint(stretch.said)


def _asks_back(stretch: Stretch) -> bool:
    """Whether an answer is wanted: "would you say the bass is too loud?"."""
    words = [w for item in stretch.said.lexemes for w in item.text.split()]
    if words[0] in {"tell", "ask", "remind"} and words[1:2] != ["for"]:
        return True  # "tell my drummer to play quieter"
    place = next((i for i, word in enumerate(words[:3]) if word == "you"), -1)
    following = next((word for word in words[place + 1 :] if word not in ADVERBS), "")
    if place >= 0 and following in THINKING:
        return True
    asked = next((i for i, item in enumerate(stretch.before) if item.has("question")), -1)
    if asked >= 0 and not any(map(asks, stretch.said.lexemes)):
        return True
    return stretch.said.lexemes[-1].has("question") and stretch.said.is_question


def _is_spoken_about(stretch: Stretch) -> bool:
    """Whether something is said of a change: "louder vocals would be a mistake"."""
    items = stretch.said.lexemes
    if is_complaint(stretch.said) or stretch.said.any_of(("covers", "like", "says")):
        return False
    if any(item.text.endswith(" if") for item in items):
        return False  # "what would this sound like if nobody was singing"
    if is_verb(items[stretch.core]) and not items[stretch.core].text.split()[0].endswith("ing"):
        return False  # "put the drums back the way they were"
    for index in range(stretch.core + 1, len(items)):
        if items[index].text not in ASSERTING or any(map(asks, items[:index])):
            continue
        rest = Clause(items[index + 1 :])
        asked = any(item.has("filler", "polite") for item in rest.lexemes)
        praised = rest.any_of(("too", "toomuch", "enough", "greeting", "accept"))
        helps = rest.has("help") and items[index].text not in COPULAS
        return not (asked or praised or helps)
    return False


def _is_undecided(stretch: Stretch) -> bool:
    """Whether it is left open: "not sure about muting the drums", "lift them off the track"."""
    opening = stretch.said.lexemes[: stretch.core + 1]
    if any(item.has("vague") and item.text.split()[-1] in _UNSURE for item in opening):
        return True
    if stretch.said.text.startswith("no more ") and stretch.said.has("than"):
        return True  # "no more reverb than this"
    away = any(item.text.startswith("off ") for item in stretch.after)
    return away and stretch.said.has("up")


_UNSURE = {"sure", "idea", "clue"}


def _is_doing(stretch: Stretch) -> bool:
    """Whether something is told to be done: "that voice cuts right through"."""
    item = stretch.said.lexemes[stretch.core]
    if item.text in THIRD_PERSONS:
        return True
    doing = item.text.split()[0].endswith("ing") and _is_done_to(item)
    if any(i.has("greeting") and f.has("for") for i, f in pairwise(stretch.before)):
        return True  # "cheers for the louder vocals"
    return doing and any(_comments(found) for found in stretch.before)


def _comments(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("vague", "greeting", "decline"))


def _is_done_to(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("mute", "up", "down", "remove", "add", "set"))


def _names_something_else(stretch: Stretch) -> bool:
    """Whether it is about no sound of the song: "turn the lights down", "lower your voice"."""
    items = stretch.said.lexemes
    if any(i.text == "your" and f.text.startswith("voice") for i, f in pairwise(items)):
        return True
    if any(map(is_name, items)):
        return False
    for index in range(stretch.core + 1, len(items)):
        if leads(items[index]):
            return False
        before = items[index - 1]
        pointed = before.has("filler", "article") or before.has("pronoun", "that")
        things = ("device", "light") if pointed else ()
        if any(items[index].has(kind) or items[index].has("small", kind) for kind in things):
            return True
    return False


def _has_relative_command(stretch: Stretch) -> bool:
    """Whether what is excepted is to change, too: "… except the bass which goes up 1"."""
    items = stretch.said.lexemes
    for index in range(stretch.core + 1, len(items) - 1):
        rest = Clause(items[index + 1 :])
        if items[index].text not in {"which", "who"} or items[index + 1].text in COPULAS:
            continue
        if rest.numbers() and rest.any_of(("up", "down")) and not is_complaint(rest):
            return True
    return False


DOUBTS = (
    _has_relative_command,
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
"""Each tells whether there is a reason; the first one counts."""

"""What is only told: how something is, was or is liked. A statement asks for nothing.

A complaint is a statement that does ask for something: its remedy.
"""

from __future__ import annotations

from itertools import pairwise

from services.interpreter.builtin.amounts import degree_too, is_excess, is_insufficient
from services.interpreter.builtin.clauses import (
    NAMED_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.builtin.timbre import is_stated_fault
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import (
    ADVERBS,
    AUDIENCES,
    DOERS,
    FEELING,
    FELLOWS,
    OWNERS,
    PERSONS,
    PLANNING,
    SELVES,
    STATING,
    THIRD_PERSONS,
)

ASKING = (
    "need", "set", "add", "give", "only", "remove", "mute", "unmute", "separate", "file", "undo",
    "redo", "reset", "not", "unsupported", "off", "neutral", "leave",
)  # fmt: skip
"""Kinds of words that ask for something to be done."""


def is_statement(clause: Clause) -> bool:
    """Whether a clause only tells how something is: "the vocal is 50 cents flat"."""
    if any(item.text.endswith((" if", "wish")) for item in clause.with_kind("filler")):
        return False  # "it would be great if the vocals were louder" wishes
    if _is_about_device(clause):
        return True
    if tells_taste(clause) or _tells_what_happened(clause) or _tells_of_own(clause):
        return True
    if tells_what_was_done(clause) or _tells_what_is_there(clause):
        return True
    if _tells_of_others_taste(clause) or _reports_command(clause):
        return True
    if _denies_fault(clause):
        return True
    if _compares_with_nothing(clause) or _wants_to_know(clause) or _tells_of_speaker(clause):
        return True
    if _wishes_sound(clause):
        return False
    if clause.is_question and _weighs(clause):
        return True
    if clause.is_question and copula_of(clause) >= 0 and clause.has("mute"):
        return not any(item.has("filler", "polite") for item in clause.lexemes)  # "muted now?"
    if copula_of(clause) < 0 or clause.any_of(set(ASKING) - {"neutral"}) or is_complaint(clause):
        return False
    return not clause.any_of(("more", "less", "vague"))


def _denies_fault(clause: Clause) -> bool:
    """Whether something is told to be no fault: "the vocals are not too loud"."""
    rest = clause.lexemes[copula_of(clause) + 1 :] if copula_of(clause) >= 0 else ()
    return len(rest) > 1 and rest[0].has("not") and rest[1].has("too")


def _weighs(clause: Clause) -> bool:
    """Whether a question weighs something: "should the bass be louder?"."""
    words = [item for item in clause.lexemes if not (item.mark or item.has("greeting"))]
    if len(words) < 3 or words[1].text in {"i", "we", "you"}:
        return False
    named = any(item.has(kind) for item in words[1:3] for kind in (*TARGET_KINDS, "pronoun"))
    asks = words[0].text == "should" or (
        words[0].text in {"could", "might", "can", "would"} and is_excess(clause)
    )
    return named and asks


def _wishes_sound(clause: Clause) -> bool:
    """Whether "I'd like her voice to sound as though …" wishes how something is to sound."""
    asked = False
    opened = clause.lexemes[0].text in {"can", "could", "may"} if clause.lexemes else False
    if opened and clause.has("complaint") and not is_complaint(clause):
        return True  # "can the singer sound warmer"
    for item, following in pairwise(clause.lexemes):
        asked = asked or item.has("filler", "polite") or item.has("give")
        if asked and item.has("to") and following.has("complaint"):
            return True
    return False


def is_complaint(clause: Clause) -> bool:
    """Whether a clause says that something is wrong: "too loud", "can't hear", "sounds muddy"."""
    complains = (
        degree_too(clause)
        or is_excess(clause)
        or is_insufficient(clause)
        or clause.has("up", "buried")
        or any(item.text.startswith("too ") for item in clause.lexemes)
    )
    verbs = clause.without(lambda item: item.has("not")) if is_insufficient(clause) else clause
    if any(a.has("only") and b.has("too") for a, b in pairwise(clause.lexemes)):
        verbs = verbs.without(lambda item: item.has("only"))  # "they're just too loud"
    return (complains or is_stated_fault(clause)) and not verbs.has_verb


def copula_of(clause: Clause) -> int:
    """Returns the place of "is" after a name, −1 where there is none."""
    named = False
    for index, item in enumerate(clause.lexemes):
        if item.text in STATING or (item.has("complaint") and named):
            return index if named or item.text in {"it is", "they are", "that is"} else -1
        named = named or any(item.has(kind) for kind in (*NAMED_KINDS, "pronoun", "side"))
        if not (named or item.mark or item.has("filler")):
            return -1
    return -1


_PRAISES = {
    "love", "loving", "i am loving", "i am digging", "digging", "really like", "really love",
    "i really like", "i really love", "love how", "i love how", "love what", "love that",
    "i love that", "i like how", "i am a fan of", "i am into", "quite like", "i quite like",
}  # fmt: skip


def tells_taste(clause: Clause) -> bool:
    """Whether a clause tells what somebody likes: "I like it loud", "we like our music loud"."""
    words = [i.text for i in clause.lexemes if not (i.mark or i.text in ADVERBS)]
    praises = bool(words) and words[0] in _PRAISES and words[1:2] != ["more"]
    likes = (
        words[:1] in (["i like it"], ["i like"], ["i love"])
        or praises
        or (words[:1] in (["i"], ["we"]) and bool(FEELING & set(words[1:2])))
    )
    comparative = any(word.endswith(("er", "ier")) for word in words)
    return likes and not (
        comparative or clause.numbers() or clause.any_of((*ASKING, "more", "less", "toomuch"))
    )


_TASTES = FEELING | {"use", "uses", "choose", "expect", "expects"}


_DONE_KINDS = ("mute", "remove", "compression", "up", "down", "separate", "pan", "pitch", "reverb")


def tells_what_was_done(clause: Clause) -> bool:
    """Whether somebody tells what was done: "we muted the drums in the demo"."""
    words = [
        item
        for item in clause.lexemes
        if not (
            item.mark or item.has("greeting") or item.text in {"just", "already", "also", "only"}
        )
    ]
    who = [item for item in words[:3] if not item.has("filler", "article")]
    if len(who) < 2 or not (who[0].text in DOERS or who[0].is_unknown):
        return False
    verb = who[1]
    past = (verb.text.endswith("ed") and verb.text != "need") or verb.text in _PAST
    done = past and (is_verb(verb) or any(verb.has(kind) for kind in _DONE_KINDS))
    heard = who[0].text in {"you", "you have"}  # "you muted the wrong one"
    return done and (heard or any(item.has(kind) for item in words for kind in TARGET_KINDS))


_PAST = {"made", "gave", "took", "brought", "sent", "put in"}


def _tells_what_is_there(clause: Clause) -> bool:
    """Whether a clause tells what a part has: "the drums have a lot of reverb"."""
    words = [item for item in clause.lexemes if not (item.mark or item.has("filler", "article"))]
    if [item.text for item in words[1:2]] == ["had"] and words[0].has("neutral"):
        return True  # "the original had less reverb"
    if is_complaint(clause) or clause.any_of(("more", "less", "toomuch", "enough", "need", "not")):
        return False
    opening = [item.text for item in words[:2]]
    if opening in (["there is", "no"], ["there are", "no"]) and not clause.numbers():
        return True  # "there is no bass"
    if not words or not clause.any_of(("reverb", "compression", "echo", "distortion", "chorus")):
        return False
    if words[0].text in {"there is", "there are"}:
        return not clause.has("remedy")
    has = words[1:2] and words[1].text in {"has", "have", "have got", "already has", "already have"}
    return bool(has) and any(words[0].has(kind) for kind in NAMED_KINDS)


_REPORTING = {
    "told me", "tells me", "asked me", "asks me", "begged me", "told us", "asked us", "advised me",
    "told him", "told her", "told them", "asked him", "asked her", "asking me", "telling me",
    "begging me", "wants me", "want me", "asking us", "wanted me",
}  # fmt: skip


def _reports_command(clause: Clause) -> bool:
    """Whether a clause reports what somebody was told to do: "he told me to turn the bass down"."""
    words = [item.text for item in clause.lexemes if not item.mark]
    pairs = {" ".join(pair) for pair in pairwise(words)} | set(words)
    place = next((i for i, item in enumerate(clause.lexemes) if item.has("to")), 0)
    following = clause.lexemes[place + 1 : place + 2] if place else ()
    return bool(pairs & _REPORTING) and bool(following) and is_verb(following[0])


def _tells_of_others_taste(clause: Clause) -> bool:
    """Whether a clause tells what other people like: "some people prefer karaoke versions"."""
    words = [item for item in clause.lexemes if not (item.mark or item.has("greeting"))]
    for index, item in enumerate(words[:6]):
        if item.text not in _TASTES:
            continue
        who = [found for found in words[:index] if not found.has("filler", "article")]
        named = any(found.text in AUDIENCES or found.is_unknown for found in who)
        return named and not any(found.has("filler", "polite") or is_verb(found) for found in who)
    return False


def _is_about_device(clause: Clause) -> bool:
    """Whether a clause tells of what is listened on: "my speakers lack bass"."""
    first = next((item for item in clause.lexemes if not is_filler(item)), None)
    return first is not None and first.has("device") and not first.has("filter")


def _tells_what_happened(clause: Clause) -> bool:
    """Whether a clause tells a fact: "the bass really got louder", "he used to compress them"."""
    place = next((i for i in range(len(clause.lexemes)) if _is_told(clause, i)), -1)
    if place < 0 or is_complaint(clause) or clause.any_of(("need", "unsupported")):
        return False
    subject = [item for item in clause.lexemes[:place] if not _opens(item)]
    if any(_asks(item) for item in clause.lexemes[:place]):
        return False
    meant = clause.lexemes[place].text.endswith(("going to", "about to"))
    if not meant and any(item.has("filler", "polite") for item in clause.lexemes):
        return False
    if _wanted_otherwise(clause, place):
        return False
    said = [word for item in clause.lexemes[:place] for word in item.text.split()]
    persons = any(word in PERSONS | FELLOWS | _VERSIONS for word in said)
    return persons or any(_is_noun(item) or item.has("compression") for item in subject)


def _wanted_otherwise(clause: Clause, place: int) -> bool:
    """Whether "I wanted it on the right" says what was meant instead of what was done."""
    said = clause.lexemes[place:]
    before = [item.text for item in clause.lexemes[:place] if not item.mark]
    return (
        said[0].text == "wanted"
        and before in (["i"], ["we"])
        and len(said) > 2
        and said[1].has("pronoun")
        and clause.any_of(("side", "up", "down", "reverb", "compression", "mute"))
    )


def _is_told(clause: Clause, place: int) -> bool:
    item = clause.lexemes[place]
    if item.has("told"):
        return True
    subject = clause.lexemes[:place]
    return item.text in THIRD_PERSONS and any(
        found.is_unknown or found.text in PERSONS or found.has("compression") or found.has("reverb")
        for found in subject
    )


def _is_noun(item: Lexeme) -> bool:
    return item.is_unknown or any(item.has(kind) for kind in (*TARGET_KINDS, "file", "undo"))


def _opens(item: Lexeme) -> bool:
    return bool(item.mark) or item.has("greeting") or item.has("ok") or is_filler(item)


_VERSIONS = {"version", "demo", "original", "take", "draft"}
_TAKING = {"without", "no", "minus", "out"}


def _asks(item: Lexeme) -> bool:
    if item.has("undo") and item.text.endswith(("version", "mix", "state", "one")):
        return False  # "the last version had quieter drums"
    return item.has("filler", "polite") or (is_verb(item) and item.text not in _TAKING)


def tells_of_possession(clause: Clause) -> bool:
    """Whether somebody tells what he has already: "I already have the acapella"."""
    words = [item for item in clause.lexemes if not (item.mark or item.has("greeting"))]
    opening = {item.text for item in words[:5]}
    owns = bool(words) and words[0].text in OWNERS and bool(opening & _OWNING)
    return owns and "already" in {item.text for item in words}


def _tells_of_own(clause: Clause) -> bool:
    """Whether somebody tells what he has: "we have our own guitarist"."""
    words = [item for item in clause.lexemes if not (item.mark or item.has("greeting"))]
    if len(words) > 1 and words[0].text in PERSONS and words[1].text in {"play", "sing", "drum"}:
        return True  # "I play the guitar in a band"
    if [item.text for item in words[:3]] in (["i", "can", "hear"], ["we", "can", "hear"]):
        return True
    if tells_of_possession(clause):
        return True
    return (
        len(words) > 2
        and words[0].text in PERSONS
        and words[1].text in {"have", "need not", "play", "want our"}
        and words[2].text in {"our", "my", "a", "an", "his", "her"}
        and not clause.any_of(("more", "less", "toomuch", "up", "down"))
    )


_OWNING = {"have", "got", "own", "i have", "we have", "has", "had"}


_TOLD_OF = SELVES | {"he", "she"}


def _tells_of_speaker(clause: Clause) -> bool:
    """Whether somebody tells who or how he is, or what he is up to.

    "We're tuned to Eb", "she sounds like she's two rooms away", "I want to practise the solo".
    """
    words = [item for item in clause.lexemes if not (item.mark or item.has("greeting", "ok"))]
    if len(words) < 2 or clause.numbers("db", "percent", "semitone", "hz"):
        return False
    if words[0].text in PLANNING or words[0].has("filler", "polite"):
        return words[0].text in PLANNING and words[1].is_unknown
    if words[0].text not in _TOLD_OF or clause.any_of(("up", "down", "toomuch", "need")):
        return False
    return not is_complaint(clause) and (
        words[0].text.endswith((" am", " are")) or clause.has("like") or clause.has("complaint")
    )


def _compares_with_nothing(clause: Clause) -> bool:
    """Whether "than" compares with no part of the song: "harder than anything I have mixed"."""
    place = clause.index("than")
    if place < 0 or clause.numbers() or clause.has_verb:
        return False
    rest = clause.lexemes[place + 1 :]
    return not any(any(item.has(kind) for kind in TARGET_KINDS) for item in rest)


def _wants_to_know(clause: Clause) -> bool:
    """Whether somebody only wants to find out: "I wanna hear if she's flat"."""
    for index, item in enumerate(clause.lexemes[:-1]):
        if item.text.endswith(("hear", "know", "check", "see", "find out", "listen")):
            following = clause.lexemes[index + 1]
            return following.has("conditional") or following.has("question")
    return False

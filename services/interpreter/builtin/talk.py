"""Prompts that ask for no change: greetings, questions, other subjects, other languages."""

from __future__ import annotations

import re
from itertools import pairwise

from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    NAMED_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.intent import ClarificationReason
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.vocabulary import vocabulary
from services.interpreter.language.word_classes import (
    AUXILIARIES,
    COPULAS,
    MEANT,
    NARRATORS,
    OWNING,
    SELVES,
    STATES,
)

_TALK_KINDS = (
    "greeting", "accept", "ok", "decline", "filler", "also", "complaint", "pronoun", "saying",
)  # fmt: skip
_ASKING_FOR_ACTION = ("set", "add", "give", "separate", "mute", "unmute", "remove", "undo", "reset")


_MARKUP = re.compile(
    r"</?\s*(system|user|assistant|inst|prompt|instructions?)\b|<\||\[/?INST", re.I
)


def is_markup(prompt: str) -> bool:
    """Whether a prompt holds marks that set rules apart from words of users."""
    return bool(_MARKUP.search(prompt))


_ROLES = {"system", "developer", "assistant", "admin"}


def is_injection(lexemes: list[Lexeme]) -> bool:
    """Whether a prompt tries to instruct the interpreter itself."""
    headed = len(lexemes) > 2 and lexemes[0].text in _ROLES and lexemes[1].mark in {":", ","}
    return headed or any(item.has("injection") for item in lexemes)


def is_foreign(lexemes: list[Lexeme]) -> bool:
    """Whether a prompt is in another language than English."""
    words = [item for item in lexemes if not item.mark and not item.number]
    foreign = vocabulary().foreign
    unknown = [item for item in words if item.is_unknown]
    known_foreign = [item for item in unknown if item.text in foreign]
    strange = [item for item in unknown if not item.text.isascii()]
    if len(known_foreign) >= 2 or (known_foreign and len(unknown) >= 2):
        return True
    if known_foreign and len(words) <= 4:
        return True
    return bool(strange) and len(unknown) * 2 >= len(words)


def says(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Returns the words that say something."""
    return [item for item in lexemes if not item.mark]


def talk_reason(lexemes: list[Lexeme]) -> ClarificationReason | None:
    """Returns why a prompt is only talk; None where it may be an instruction."""
    words = says(lexemes)
    if not words:
        return "ambiguous"
    clause = Clause(tuple(words))
    asks_help = clause.has("help")
    substance = clause.any_of((*ACTION_KINDS, *NAMED_KINDS)) or bool(clause.numbers())
    if asks_help and not _is_polite_command(words):
        asked = words[0].text
        elsewhere = clause.unknown and not substance and asked.startswith("how")
        elsewhere = elsewhere and not asked.startswith(("how does", "how do you"))
        if clause.has("offtopic") and not substance:
            return "out_of_scope"  # "can you help me with my homework"
        return None if elsewhere else "help"  # "how do I get to the airport?"
    if not substance and all(any(item.has(kind) for kind in _TALK_KINDS) for item in words):
        if any(item.has("greeting") for item in words) or any(
            item.has("decline") for item in words
        ):
            return "greeting"
        return "ambiguous"
    return None


_WOULD = {"would", "will", "could", "might", "really", "to", "of"}


def _is_polite_command(words: list[Lexeme]) -> bool:
    """Whether "help me make the vocals louder" is a command after all."""
    place = next(i for i, item in enumerate(words) if item.has("help"))
    text = words[place].text
    if text.startswith("help") and place and words[place - 1].text in _WOULD:
        return True  # "a karaoke version would help me"
    if text == "help":
        rest = Clause(tuple(w for i, w in enumerate(words) if i != place))
        if rest.any_of(("tone", "toomuch", "too")) and rest.any_of(NAMED_KINDS):
            return True
        if rest.has("up", "buried"):
            return True  # "the singer is buried, help"
    if text in {"help me", "help", "help me out", "how would i", "how do i", "how can i"}:
        following = Clause(tuple(words[place + 1 :]))
        return text.startswith("help") and following.has_action and following.any_of(NAMED_KINDS)
    if text in {
        "example",
        "examples",
        "instructions please",
        "first time here",
        "new here",
        "options",
        "suggestions",
        "features",
    }:
        rest = Clause(tuple(w for i, w in enumerate(words) if i != place))
        return rest.any_of(("set", "add", "mute", "separate", "remove", "up", "down", "file"))
    return False


_OPENING_QUESTIONS = COPULAS | {"did", "does"}


def is_question(clause: Clause) -> bool:
    """Whether a clause asks about something instead of asking for it."""
    words = [item for item in clause.lexemes if not item.mark]
    while words and (
        words[0].has("greeting")
        or words[0].has("ok")
        or words[0].has("also")
        or words[0].text in {"and", "so", "but", "then", "now", "well"}
    ):
        words = words[1:]
    if not words:
        return False
    if words[0].text == "tell" and len(words) > 2 and words[2].has("question"):
        return True  # "tell me which stem the violin is in"
    if words[0].text == "what" and len(words) > 1 and words[1].text in {"i need", "i want"}:
        return False  # "what I need from this tune is the acapella"
    if words[0].has("question") and words[0].text not in {"when", "where"}:
        return True
    if words[0].has("question"):
        return clause.is_question
    if words[0].text in AUXILIARIES and clause.is_question:
        return True
    return words[0].text in _OPENING_QUESTIONS and not any(is_verb(item) for item in words[1:])


_CUES = {"when", "while", "until", "once", "whenever", "after", "before", "till"}
_CUED = {
    "come in", "comes in", "come", "comes", "start", "starts", "enter", "enters", "begin", "begins",
    "stop", "stops", "kick in", "kicks in", "drop in", "join", "joins", "sings", "sing", "plays",
}  # fmt: skip


def is_cued(lexemes: list[Lexeme]) -> bool:
    """Whether a change is to begin where something is heard: "when the vocals come in"."""
    for index, item in enumerate(lexemes):
        said = [
            found for found in lexemes[index + 1 : index + 5] if not found.has("filler", "article")
        ]
        cued = item.text in _CUES and len(said) > 1 and said[1].text in _CUED
        if cued and any(said[0].has(kind) for kind in ("target", "six", "pronoun")):
            return True
    return False


def wants_versions(lexemes: list[Lexeme]) -> bool:
    """Whether several mixes are wanted at once: "one version with reverb and one without"."""
    counted = any(
        item.number and item.number.value > 1 and following.text in {"versions", "mixes", "version"}
        for item, following in pairwise(lexemes)
    )
    return counted or sum(item.has("onefile") for item in lexemes) > 1


def is_off_topic(lexemes: list[Lexeme]) -> bool:
    """Whether a prompt is plainly about something else: the weather, an e-mail."""
    return Clause(tuple(lexemes)).has("offtopic")


def is_out_of_scope(lexemes: list[Lexeme]) -> bool:
    """Whether a prompt has nothing to do with the track."""
    words = says(lexemes)
    clause = Clause(tuple(words))
    return not clause.any_of(
        (*ACTION_KINDS, *NAMED_KINDS, "give", "volume", "effects", "unsupported", "complaint")
    )


_SUBJECTS = OWNING | SELVES | (NARRATORS - {"i"})


def _without_attributes(clause: Clause) -> Clause:
    """Drops what a part is called: "the louder drums sound fantastic"."""
    items = clause.lexemes
    kept = []
    for index, item in enumerate(items):
        before, following = items[index - 1 : index], items[index + 1 : index + 2]
        attribute = item.has("up", "loud") or item.has("down", "quiet") or item.has("tone")
        defined = bool(before) and before[0].text in {"the", "those", "these", "that", "this"}
        named = bool(following) and any(following[0].has(kind) for kind in NAMED_KINDS)
        if not (attribute and defined and named):
            kept.append(item)
    return Clause(tuple(kept), clause.joiner, clause.is_question, clause.previous)


def is_praise(clause: Clause) -> bool:
    """Whether a clause only praises: "the drums are great", "I love the vocals"."""
    clause = _without_attributes(clause)
    if any(
        item.text in {"better", "much better", "nicer", "much nicer"} for item in clause.lexemes
    ):
        return not (
            clause.has_verb or clause.has("need")
        )  # "the vocals sit so much better with the boost"
    return clause.has("greeting", "praise") and not (
        clause.has_action
        or clause.numbers()
        or clause.any_of(("give", "only", "add", "set", "accept"))
    )


def is_story(clause: Clause) -> bool:
    """Whether a clause tells something instead of asking for it."""
    unknown = clause.unknown
    words = [i.text for i in clause.lexemes if not (i.mark or i.has("greeting"))]
    if not unknown:
        return False
    if words[0] in _SUBJECTS and STATES & {part for word in words for part in word.split()}:
        return True
    if words[0] in {"my", "our"} and clause.has("not") and not clause.any_of(("mute", "enough")):
        return True  # "our choir can't reach that"
    meaningful = [item for item in clause.lexemes if not item.mark and not is_filler(item)]
    return len(unknown) >= 2 or len(unknown) * 2 > len(meaningful)


def starts_like_command(clause: Clause) -> bool:
    """Whether a clause opens with a verb of command."""
    for item in clause.lexemes:
        opens = item.has("ok") or item.has("greeting") or item.has("decline")
        if item.mark or is_filler(item) or opens:
            continue
        return is_verb(item) or any(item.has(kind) for kind in _ASKING_FOR_ACTION)
    return False


def without_refusal(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "no, the drums" and "no, I meant the drums" as "the drums instead"."""
    place = 0
    while place < len(lexemes) and (lexemes[place].has("decline") or lexemes[place].mark):
        place += 1
    if place == 0 or place >= len(lexemes):
        return lexemes
    refused = any(item.has("decline") for item in lexemes[:place])
    followed_by_pause = bool(lexemes[place - 1].mark) or lexemes[place].text in _INSTEAD
    if not (refused and followed_by_pause):
        return lexemes
    return instead(lexemes[place:])


_INSTEAD = MEANT | {"actually", "not", "sorry"}


def instead(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads a bare name as "the drums instead"; leaves everything else as it is."""
    bare = all(
        is_filler(item)
        or item.mark
        or any(item.has(kind) for kind in (*NAMED_KINDS, "and", "greeting"))
        for item in lexemes
    )
    if bare and any(item.has("target") or item.has("six") for item in lexemes):
        return [*lexemes, Lexeme("instead", (("instead", "instead"),))]
    return lexemes

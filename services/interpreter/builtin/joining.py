"""Pieces to clauses.

Fragments that say no instruction of their own ("and the drums", "12 dB", "slightly") go back to the
clause that they complete.
"""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.asides import (
    AS_FILES,
    counts_files,
    is_for_each,
    is_not_wanted,
    names_step,
    says_both,
    with_number_each,
)
from services.interpreter.builtin.clauses import (
    EFFECT_KINDS,
    NAMED_KINDS,
    PARAMETER_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
)
from services.interpreter.builtin.elaborating import elaborates, excepts, manner_of, tells_manner
from services.interpreter.builtin.headings import headed
from services.interpreter.builtin.pairs import apart
from services.interpreter.builtin.pictured import pictured
from services.interpreter.builtin.sharing import carried, shared, softened, tonal, varied
from services.interpreter.builtin.splitting import pieces_of
from services.interpreter.builtin.statements import is_statement
from services.interpreter.builtin.talk import is_praise, is_story
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import COPULAS, SELVES


def clauses_of(lexemes: list[Lexeme]) -> list[Clause]:
    """Reads a prompt into clauses."""
    joined = pictured(_joined(headed(pieces_of(apart(lexemes)))))
    return varied(shared(carried(softened(tonal(joined)))))


def _is_only_targets(piece: Clause) -> bool:
    return (
        piece.any_of(TARGET_KINDS)
        and not piece.has_action
        and not piece.any_of(
            ("give", "only", "add", "need", "vague", "volume", "half", "max", "min")
        )
        and not any(number.unit for number in piece.numbers())
        and not piece.numbers()
        and not piece.has("group", "stems")
        and not _tells_of_someone(piece)
        and not is_praise(piece)
        and not piece.any_of(("none", "decline"))
        and not is_statement(piece)
        and not (is_story(piece) and piece.has("not"))
        and not piece.has("instead")
        and not piece.any_of(("pronoun",) if _has_same(piece) else ())
        and not _tells_of_part(piece)
        and len(piece.unknown) < (1 if piece.any_of(("small", "big")) else 2)
    )


def _lists_with_only(piece: Clause, following: Clause | None) -> bool:
    """Whether "only bass" begins the list "only bass and drums muted"."""
    return (
        piece.has("only")
        and following is not None
        and following.joiner == "and"
        and following.is_target_first
        and following.any_of(("up", "down", "mute"))
        and not following.has_verb
        and all(
            is_filler(item) or any(item.has(kind) for kind in ("only", "target", "six", "and"))
            for item in piece.lexemes
        )
        and piece.has_named_target
    )


def _lists_with_give(piece: Clause, following: Clause | None) -> bool:
    """Whether "give the drums" begins the list "give the drums and the vocals 30% reverb"."""
    said = [item for item in piece.lexemes if not is_filler(item)]
    return (
        following is not None
        and following.joiner in {"and", ","}
        and following.is_target_first
        and following.any_of(EFFECT_KINDS)
        and not following.has_verb
        and len(said) > 1
        and said[0].text == "give"
        and not any(item.text in {"me", "us"} for item in piece.lexemes)
        and all(item.has("target") or item.has("six") for item in said[1:])
    )


def _is_next_number(before: Clause, piece: Clause) -> bool:
    """Whether a piece is only the next number of a list: "vocals, drums: +1, +2"."""
    return (
        bool(before.numbers())
        and all(item.number and item.number.signed for item in piece.lexemes)
        and piece.joiner in {",", "and"}
    )


def _tells_of_someone(piece: Clause) -> bool:
    """Whether a name is only part of a story: "I am a piano teacher"."""
    if piece.lexemes and piece.lexemes[0].text in SELVES:
        return True
    return bool(piece.unknown) and any(item.text in _TELLING for item in piece.lexemes)


_TELLING = COPULAS | SELVES | {"am", "i have"}


def _tells_of_part(piece: Clause) -> bool:
    """Whether a verb that is not known follows a name: "the drums bug me"."""
    named = False
    for item in piece.lexemes:
        if named and item.is_unknown:
            return True
        named = named or any(item.has(kind) for kind in ("target", "six"))
    return False


def _has_same(piece: Clause) -> bool:
    return piece.has("pronoun", "same")


def _is_only_parameters(piece: Clause) -> bool:
    if piece.any_of(TARGET_KINDS) or piece.has_action or piece.unknown:
        return False
    if piece.has("only") and not piece.any_of(("small", "big")):
        return False
    if piece.any_of(("give", "add", "set", "volume", "accept", "decline")):
        return False
    return bool(piece.numbers()) or piece.any_of(PARAMETER_KINDS)


def _is_only_more_or_less(piece: Clause) -> bool:
    kinds = ("more", "less", "small", "big")
    said = [item for item in piece.lexemes if not is_filler(item)]
    return bool(said) and all(any(item.has(kind) for kind in kinds) for item in said)


def _joined(pieces: list[Clause]) -> list[Clause]:
    result: list[Clause] = []
    waiting: list[Clause] = []
    for index, piece in enumerate(pieces):
        following = pieces[index + 1] if index + 1 < len(pieces) else None
        before = result[-1] if result and not waiting else None
        nothing_but = piece.has("only") and waiting and all(map(is_not_wanted, waiting))
        if _is_only_targets(piece) and not _has_same(piece) and not nothing_but:
            _join_names(result, waiting, piece, following)
            continue
        if nothing_but or (waiting and counts_files(piece)):
            # "not the drums, not the bass, just the voice"; "vocals and bass, two files"
            files = replace(piece, lexemes=(AS_FILES,))
            result.append(piece if nothing_but else _with_waiting(waiting, files))
            waiting.clear()
            continue
        if before is not None and (names_step(before, piece) or says_both(before, piece)):
            continue
        if is_for_each(result, piece):
            result[:] = with_number_each(result, piece)
            continue
        if _lists_with_only(piece, following) or _lists_with_give(piece, following):
            waiting.append(piece)
            continue
        completing = _completing(before, piece) if before is not None else None
        if before is not None and completing is not None:
            result[-1] = _merged(before, completing)
            continue
        if not waiting and _waits(piece, following):
            waiting.append(piece)
            continue
        result.append(_with_waiting(waiting, piece))
        waiting.clear()
    if waiting:
        result.append(_with_waiting(waiting[:-1], waiting[-1]))
    return result


def _join_names(
    result: list[Clause], waiting: list[Clause], piece: Clause, following: Clause | None
) -> None:
    """Puts a piece that only names parts where it belongs: before, behind, or apart."""
    before = result[-1] if result and not waiting else None
    meant = _instead_of_excepted(before, piece) if before is not None else None
    if meant is not None:
        result[-1] = meant
        return
    if before is not None and _says_other_amount(before, piece):
        result.append(piece)
    elif before is not None and (
        excepts(before, piece)
        or _names_at_last(result, piece, following)
        or _belongs_before(before, piece, following)
    ):
        result[-1] = _merged(before, piece)
    elif following is not None and following.joiner != ".":
        waiting.append(piece)
    else:
        result.append(_with_waiting(waiting, piece))
        waiting.clear()


def _instead_of_excepted(before: Clause, piece: Clause) -> Clause | None:
    """Reads "more reverb, but not on the drums, on the bass" as "on the bass"."""
    excepted = before.index("except")
    first = next((item for item in piece.lexemes if not item.has("filler")), None)
    placed = first is not None and first.has("in") and piece.joiner == ","
    said = before.lexemes[: max(excepted, 0)]
    if not (said and placed) or Clause(said).any_of(NAMED_KINDS):
        return None
    return replace(before, lexemes=(*said, *piece.lexemes))


def _completing(before: Clause, piece: Clause) -> Clause | None:
    """Returns what a piece adds to the clause before it; None where it stands for itself."""
    if tells_manner(before, piece):
        return manner_of(piece)
    goes_on = before.has_action or _is_next_number(before, piece) or _has_same(before)
    heads = before.any_of(("volume", *EFFECT_KINDS)) and before.has_named_target
    headed = piece.joiner == ":" and heads and not before.numbers()  # "drums gain: -3"
    measures = goes_on and piece.lexemes[0].has("by") and not before.numbers()  # "quieter! by 4"
    goes_on = measures or (goes_on and piece.joiner not in {".", ":"})
    if _is_only_parameters(piece) and (headed or goes_on):
        return piece
    if _has_same(before) and piece.joiner in {",", "but"} and _is_only_more_or_less(piece):
        return piece  # "the same on the bass, but a bit less"
    if _scopes(before, piece):
        return piece.without(lambda item: item.has("only"))
    return piece if elaborates(before, piece) else None


def _waits(piece: Clause, following: Clause | None) -> bool:
    """Whether a piece only tells how much of what follows: "a bit, louder drums"."""
    parameters = _is_only_parameters(piece) and piece.joiner != "."
    return parameters and following is not None and following.has_action


def _scopes(before: Clause, piece: Clause) -> bool:
    """Whether "but only the drums" tells what a command without a target is about."""
    return (
        piece.joiner in {"but", ","}
        and piece.has("only")
        and piece.has_named_target
        and not (piece.has_action or piece.numbers() or (piece.has_verb and not piece.has("only")))
        and not piece.any_of(("give", "set", "add"))
        and not before.any_of((*TARGET_KINDS, "separate", "file", "remove", "unsupported"))
        and before.any_of((*EFFECT_KINDS, "up", "down"))
    )


def _says_other_amount(before: Clause, piece: Clause) -> bool:
    """Whether "a lot to the drums" varies "a little reverb to the vocals"."""
    amounts = ("small", "big")
    placed = any(item.has("in") or item.has("to") for item in piece.lexemes)
    if not (placed or before.any_of(amounts) or before.numbers()):
        return False  # "compress drums and bass heavily"
    return piece.any_of(amounts) and before.any_of(EFFECT_KINDS) and before.has_named_target


def _names_at_last(result: list[Clause], piece: Clause, following: Clause | None) -> bool:
    """Whether "The drums." only tells what "Quieter." before it is about."""
    if piece.joiner != "." or not result or (following is not None and following.joiner != "."):
        return False
    before = result[-1]
    return (
        before.any_of((*EFFECT_KINDS, "up", "down", "mute", "unmute"))
        and not any(clause.any_of(TARGET_KINDS) for clause in result)
        and not (piece.any_of(("pronoun", "also")) and not piece.text.endswith("that is"))
        and not before.is_question
    )


def _belongs_before(before: Clause, piece: Clause, following: Clause | None) -> bool:
    if piece.joiner in {".", ":"} or not before.has_said_something:
        return False
    if following is not None and following.joiner == ":":
        return False
    if before.any_of(("remove", "off")) and piece.has("set") and piece.has("pronoun"):
        return False  # "take the reverb off the vocals and put it on the drums"
    if piece.has("also") and not piece.any_of(("small", "big")):
        return True  # "vocals up 2, drums too, bass down 1"
    prefixed = next((item for item in piece.lexemes if not item.has("filler")), None)
    if prefixed is not None and (prefixed.has("in") or prefixed.has("to") or prefixed.has("of")):
        return not before.has_named_target or before.any_of(("pronoun",)) or following is None
    if following is None or following.joiner == ".":
        return True
    if not following.is_target_first or following.has_verb:
        return True
    if piece.joiner == "," and following.joiner == "and":
        return not following.has_action
    last = [item for item in before.lexemes if not is_filler(item)]
    return bool(last) and any(last[-1].has(kind) for kind in TARGET_KINDS)


def _merged(before: Clause, piece: Clause) -> Clause:
    link = Lexeme("and", (("and", "and"),))
    return replace(before, lexemes=(*before.lexemes, link, *piece.lexemes))


def _with_waiting(waiting: list[Clause], piece: Clause) -> Clause:
    if not waiting:
        return piece
    link = Lexeme("and", (("and", "and"),))
    lexemes: list[Lexeme] = []
    for item in waiting:
        lexemes += [*item.lexemes, link]
    if piece.joiner == ":":
        lexemes[-1] = Lexeme(":", mark=":")
    return replace(piece, lexemes=(*lexemes, *piece.lexemes), joiner=waiting[0].joiner)

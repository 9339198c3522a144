"""What clauses share: a target, a verb, a direction said only once."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import (
    COLORING_KINDS,
    DIRECTION_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
)
from services.interpreter.builtin.completing import completed
from services.interpreter.language.lexemes import Lexeme


def tonal(clauses: list[Clause]) -> list[Clause]:
    """Reads "cut the bass and boost the treble" as two tones."""
    result: list[Clause] = []
    for index, clause in enumerate(clauses):
        names = [item for item in clause.lexemes if any(item.has(k) for k in NAMED_KINDS)]
        neighbours = clauses[max(0, index - 1) : index] + clauses[index + 1 : index + 2]
        signed = any(number.signed for number in clause.numbers("db", ""))
        is_pair = any(
            other.has("region", "high", "mid", "high_mid")
            and not (other.is_target_first if signed else other.has_named_target)
            for other in neighbours
        )
        if (
            is_pair
            and len(names) == 1
            and names[0].text == "bass"
            and (signed or clause.any_of(("up", "down", "more", "less", "add")))
        ):
            tone = Lexeme("bass", (("region", "low"),))
            lexemes = tuple(tone if item is names[0] else item for item in clause.lexemes)
            clause = replace(clause, lexemes=lexemes)  # noqa: PLW2901
        result.append(clause)
    return result


_QUIETER = Lexeme("quieter", (("down", "quiet"),))


def softened(clauses: list[Clause]) -> list[Clause]:
    """Reads "louder vocals, softer drums" as quieter drums: loudness is spoken of."""
    loud = any(clause.has("up", "loud") or clause.has("down", "quiet") for clause in clauses)
    if not loud:
        return clauses
    return [
        replace(
            clause,
            lexemes=tuple(_QUIETER if item.text == "softer" else item for item in clause.lexemes),
        )
        for clause in clauses
    ]


def _turns_round(before: Clause, clause: Clause) -> bool:
    """Whether as much goes the other way: "an octave down on the bass and up on the drums"."""
    numbers = before.numbers("semitone", "db")
    first = next((item for item in clause.lexemes if not item.has("filler")), None)
    if len(numbers) != 1 or len(before.numbers()) != 1 or clause.numbers() or first is None:
        return False
    if not (first.has("up", "plain") or first.has("down", "plain")) or numbers[0].signed:
        return False
    ways = ("up", "down", "in", "target", "six", "filler", "and")
    bare = all(any(item.has(kind) for kind in ways) for item in clause.lexemes)
    opposite = before.has("down") if first.has("up") else before.has("up")
    return bare and opposite and first.text in {"up", "down"} and clause.joiner in {"and", ","}


def carried(clauses: list[Clause]) -> list[Clause]:
    """Carries operators on: "remove reverb and compression", "cut 3 dB at 1k and 2 dB at 3k"."""
    kinds = ("reverb", "compression", "eq", "filter", *COLORING_KINDS)
    result: list[Clause] = []
    for clause in clauses:
        before = result[-1] if result else None
        if before is not None and _turns_round(before, clause):
            number = next(item for item in before.lexemes if item.number)
            clause = replace(clause, lexemes=(*clause.lexemes, number))  # noqa: PLW2901
        if (
            before is not None
            and clause.joiner in {"and", ","}
            and before.any_of(kinds)
            and clause.any_of(kinds)
            and not clause.any_of(
                ("remove", "off", "more", "less", "add", "up", "down", "small", "big")
            )
            and not clause.is_target_first
            and not clause.has_verb
            and not clause.numbers()
        ):
            operators = tuple(
                item
                for item in before.lexemes
                if any(item.has(kind) for kind in ("remove", "off", "more", "less"))
            )
            clause = replace(clause, lexemes=(*operators, *clause.lexemes))  # noqa: PLW2901
        elif before is not None and clause.has("none") and before.any_of(kinds):
            # "heavy compression on the bass and none on the vocals"
            what = tuple(item for item in before.lexemes if any(item.has(kind) for kind in kinds))
            clause = replace(clause, lexemes=(_NO, *what, *clause.lexemes))  # noqa: PLW2901
        elif before is not None and _quantifies(clause) and before.any_of((*kinds, "region")):
            # "more low end on the drums and less on the bass"
            graded = (*kinds, "region")
            what = tuple(item for item in before.lexemes if any(item.has(kind) for kind in graded))
            clause = replace(clause, lexemes=(*clause.lexemes[:1], *what, *clause.lexemes[1:]))  # noqa: PLW2901
        elif before is not None and _scales_it(clause) and before.any_of(kinds):
            # "double the reverb on the vocals and halve it on the drums"
            what = tuple(item for item in before.lexemes if any(item.has(kind) for kind in kinds))
            clause = replace(clause, lexemes=(*clause.lexemes, *what))  # noqa: PLW2901
        elif before is not None and _moves_pitch_too(before, clause):
            what = tuple(item for item in before.lexemes if item.has("pitch"))[:1]
            clause = replace(clause, lexemes=(*what, *clause.lexemes))  # noqa: PLW2901
        elif before is not None and _continues_bands(before, clause):
            ways = tuple(item for item in before.lexemes if item.has("up") or item.has("down"))
            clause = replace(clause, lexemes=(*ways, *clause.lexemes))  # noqa: PLW2901
        result.append(clause)
    return result


_NO = Lexeme("no", (("remove", "remove"),))


def _quantifies(clause: Clause) -> bool:
    """Whether only "more" or "less" is said of a part, and not of what."""
    others = (*EFFECT_KINDS, "volume", "up", "down", "tone", "eq", "mute", "remove", "pronoun")
    return (
        bool(clause.lexemes)
        and (clause.lexemes[0].has("more") or clause.lexemes[0].has("less"))
        and any(item.has("in") for item in clause.lexemes)
        and clause.has_named_target
        and not clause.any_of(others)
        and not clause.numbers()
    )


def _moves_pitch_too(before: Clause, clause: Clause) -> bool:
    """Whether "… and the piano up one" goes on with "pitch the guitar down a semitone"."""
    first = next((item for item in before.lexemes if not is_filler(item)), None)
    return (
        first is not None
        and first.has("pitch")
        and clause.joiner in {"and", ","}
        and clause.is_target_first
        and clause.any_of(("up", "down"))
        and not clause.any_of((*EFFECT_KINDS, "volume", "more", "less"))
        and not clause.has("up", "loud")
        and not clause.has("down", "quiet")
        and not clause.numbers("db", "percent")
        and not clause.has_verb
    )


def _scales_it(clause: Clause) -> bool:
    return (
        clause.any_of(("half", "double"))
        and clause.has("pronoun", "it")
        and clause.has_named_target
        and not clause.any_of(("volume", "up", "down"))
    )


def shared(clauses: list[Clause]) -> list[Clause]:
    """Gives a clause the target that follows: "darker and quieter drums"."""
    result = list(clauses)
    for index in range(len(result) - 2, -1, -1):
        clause, following = result[index], result[index + 1]
        if (
            following.joiner not in {"and", ","}
            or clause.any_of(TARGET_KINDS)
            or not clause.has_action
            or clause.any_of(("undo", "redo", "reset", "even", "leave", "unsupported", "file"))
            or any(earlier.has_named_target for earlier in result[:index])
            or following.is_target_first
            or (following.has("unsupported") and not _is_bare(clause))
            or _has_its_own_place(clause, following)
            or not following.has_named_target
            or not (
                _is_bare(clause)
                or not following.has_verb
                or _is_same_kind(clause, following)
                or _is_carried(clause, following)
            )
        ):
            continue
        names = tuple(
            item
            for item in following.lexemes
            if any(item.has(kind) for kind in (*NAMED_KINDS, "except"))
        )
        result[index] = replace(clause, lexemes=(*clause.lexemes, *_SHARED_LINK, *names))
    return result


def _has_its_own_place(clause: Clause, following: Clause) -> bool:
    """Whether a target only belongs to what follows: "a bit warmer, and less echo on the snare"."""
    if following.joiner != "," or _is_bare(clause) or not following.any_of(COLORING_KINDS):
        return False
    place = next(
        (i for i, item in enumerate(following.lexemes) if any(item.has(k) for k in NAMED_KINDS)), 0
    )
    before = [item for item in following.lexemes[:place] if not item.has("filler")]
    return bool(before) and before[-1].has("in")


_SHARED_LINK = (Lexeme("on", (("in", "in"),)),)


def _is_bare(clause: Clause) -> bool:
    meaningful = [item for item in clause.lexemes if not is_filler(item) and not item.mark]
    return len(meaningful) == 1 and not clause.numbers()


def _continues_bands(before: Clause, clause: Clause) -> bool:
    return (
        clause.joiner in {"and", ","}
        and _is_same_kind(before, clause)
        and before.any_of(("up", "down"))
        and not clause.any_of(DIRECTION_KINDS)
        and not any(number.signed for number in clause.numbers())
    )


def _is_carried(one: Clause, other: Clause) -> bool:
    """Whether the verb of a clause was carried over from the one before."""
    return bool(other.lexemes) and any(item is other.lexemes[0] for item in one.lexemes)


def _is_same_kind(one: Clause, other: Clause) -> bool:
    def is_eq(clause: Clause) -> bool:
        return bool(clause.numbers("hz")) or clause.has("region")

    return is_eq(one) and is_eq(other)


def varied(clauses: list[Clause]) -> list[Clause]:
    """Lets each clause know the one before, for "… and the bass 2 dB"."""
    result: list[Clause] = []
    for clause in clauses:
        previous = completed(result[-1]) if result else None
        result.append(
            replace(clause, previous=replace(previous, previous=None) if previous else None)
        )
    return result

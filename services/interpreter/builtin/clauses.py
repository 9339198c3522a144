"""A prompt to clauses: one instruction each, with what belongs to it.

A prompt is cut at punctuation and joining words; then fragments that say no instruction of their
own ("and the drums", "12 dB", "slightly") go back to the clause that they complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from services.interpreter.language.lexemes import Lexeme, Number
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
EFFECT_KINDS = ("reverb", "compression", "pitch", "pan", "side", "eq", "region", "tone", "filter")
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
)


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
    return bool(item.readings) and all(
        kind
        in {"filler", "also", "complaint", "of", "in", "to", "by", "for", "with", "unit", "step"}
        for kind, _ in item.readings
    )


def clauses_of(lexemes: list[Lexeme]) -> list[Clause]:
    """Cuts a prompt into clauses."""
    pieces = [_without_adjunct(piece) for piece in _pieces(lexemes)]
    pieces = _without_reasons(pieces)
    pieces = _without_fillers(pieces)
    return _varied(_shared(_joined(pieces)))


def _without_fillers(pieces: list[Clause]) -> list[Clause]:
    """Drops pieces that say nothing ("please", "thanks"), keeping the pause they make."""
    kept: list[Clause] = []
    pause = ""
    for piece in pieces:
        if all(item.mark or item.has("filler") or item.has("greeting") for item in piece.lexemes):
            pause = _stronger(pause, piece.joiner)
            continue
        kept.append(replace(piece, joiner=_stronger(pause, piece.joiner)) if pause else piece)
        pause = ""
    return kept


def _pieces(lexemes: list[Lexeme]) -> list[Clause]:
    pieces: list[Clause] = []
    current: list[Lexeme] = []
    joiner = ""
    start_of_sentence = 0

    def close(following: str) -> None:
        nonlocal current, joiner
        if current:
            pieces.append(Clause(tuple(current), joiner))
            joiner = following
        else:
            joiner = _stronger(joiner, following)
        current = []

    for index, item in enumerate(lexemes):
        kind = _joiner_kind(item, lexemes, index, current)
        if kind is None:
            current.append(item)
            continue
        close("." if kind == "?" else kind)
        if kind == "?":
            pieces[start_of_sentence:] = [
                replace(piece, is_question=True) for piece in pieces[start_of_sentence:]
            ]
        if kind in {".", "?"}:
            start_of_sentence = len(pieces)
    close("")
    return pieces


def _stronger(first: str, second: str) -> str:
    order = ("", "with", "and", ",", "but", ":", ".")
    return max(first, second, key=lambda name: order.index(name) if name in order else 0)


def _joiner_kind(
    item: Lexeme, lexemes: list[Lexeme], index: int, current: list[Lexeme]
) -> str | None:
    if item.mark:
        return item.mark if item.mark in {",", ".", ":", "?"} else None
    if item.has("and"):
        return None if _joins_numbers(lexemes, index, current) else "and"
    if item.has("but"):
        return None if _is_exception(lexemes, index, current) else "but"
    if item.has("with") and current:
        return "with"
    if item.has("also") and not current:
        return None
    if item.text == "plus" and current:
        return "and"
    return None


def _joins_numbers(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether "and" stands between two ends: "between 200 and 2000 Hz"."""
    following = lexemes[index + 1 : index + 2]
    return (
        any(item.has("bound", "between") for item in current)
        and bool(current[-1].number)
        and bool(following and following[0].number)
    )


def _is_exception(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether "but" means "except": "everything but the drums"."""
    before = [item for item in current if not is_filler(item)]
    if not (before and (before[-1].has("group") or before[-1].has("target", "mix"))):
        return False
    following = next((item for item in lexemes[index + 1 :] if not is_filler(item)), None)
    if before[-1].has("group") and following is not None:
        return following.has("not") or any(following.has(kind) for kind in NAMED_KINDS)
    for item in lexemes[index + 1 :]:
        if item.mark or item.has("and"):
            break
        if any(item.has(kind) for kind in ("not", *ACTION_KINDS, "set", "add")):
            return item.has("not")
    return True


def _without_adjunct(piece: Clause) -> Clause:
    """Drops what tells why or for whom: "so my student can hear it", "for tonight's party"."""
    kept: list[Lexeme] = []
    items = piece.lexemes
    for index, item in enumerate(items):
        done = Clause(tuple(kept))
        says = done.has_action or done.any_of(("give", "only"))
        if item.has("reason") and kept and (says or done.has_named_target):
            break
        if item.has("like") and says and not done.has("complaint") and done.any_of(EFFECT_KINDS):
            break
        if item.has("for") and _is_purpose(done, items[index + 1 :], says):
            break
        if item.has("question") and kept and says:
            break
        if item.text in {
            "to make",
            "to have",
            "to get",
            "to give",
            "to hear",
            "to do",
            "to be",
        } and (done.any_of(ACTION_KINDS)):
            break
        if item.has("to") and says and index + 1 < len(items) and items[index + 1].is_unknown:
            break
        kept.append(item)
    return replace(piece, lexemes=tuple(kept))


def _is_purpose(done: Clause, following: tuple[Lexeme, ...], says: bool) -> bool:
    rest = Clause(following)
    if not rest.any_of((*TARGET_KINDS, "file")) and not rest.any_of(("unsupported",)):
        return says or done.has_named_target or not rest.has_action
    if all(is_filler(item) or item.has("pronoun") for item in done.lexemes) and any(
        item.text in {"it is", "is", "are", "was"} for item in done.lexemes
    ):
        return True
    if (done.has_named_target or done.has("file")) and says:
        return not (rest.has("unsupported") or rest.any_of(("up", "down", "mute", "reverb")))
    return False


def _without_reasons(pieces: list[Clause]) -> list[Clause]:
    """Drops clauses that only give a reason, and what follows them without a command."""
    kept: list[Clause] = []
    in_reason = False
    for found in pieces:
        piece = found
        first = next((item for item in piece.lexemes if not is_filler(item)), None)
        if first is not None and first.has("reason"):
            command = piece.without(lambda item: item.text == "so")
            if first.text != "so" or not command.has_verb:
                in_reason = True
                continue
            piece = command  # "…, so please mute the vocals"
        if in_reason and piece.joiner in {"and", "with"} and not piece.has_verb:
            continue
        in_reason = False
        kept.append(piece)
    return kept


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
        and not piece.has("instead")
        and not piece.any_of(("pronoun",) if _has_same(piece) else ())
        and len(piece.unknown) < 2
    )


def _tells_of_someone(piece: Clause) -> bool:
    """Whether a name is only part of a story: "I am a piano teacher"."""
    telling = {"i am", "we are", "is", "are", "am", "i have", "he is"}
    return bool(piece.unknown) and any(item.text in telling for item in piece.lexemes)


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


def _joined(pieces: list[Clause]) -> list[Clause]:
    result: list[Clause] = []
    waiting: list[Clause] = []
    for index, piece in enumerate(pieces):
        following = pieces[index + 1] if index + 1 < len(pieces) else None
        before = result[-1] if result and not waiting else None
        if _is_only_targets(piece) and not (_has_same(piece)):
            if _belongs_before(before, piece, following):
                assert before is not None
                result[-1] = _merged(before, piece)
            elif following is not None and following.joiner != ".":
                waiting.append(piece)
            else:
                result.append(_with_waiting(waiting, piece))
                waiting = []
            continue
        if _is_only_parameters(piece) and piece.joiner != "." and not waiting:
            if before is not None and before.has_action and piece.joiner != ":":
                result[-1] = _merged(before, piece)
                continue
            if following is not None and following.has_action:
                waiting.append(piece)
                continue
        if before is not None and (
            _completes_eq(before, piece)
            or _lists_bands(before, piece)
            or _names_means(before, piece)
        ):
            result[-1] = _merged(before, piece)
            continue
        result.append(_with_waiting(waiting, piece))
        waiting = []
    if waiting:
        result.append(_with_waiting(waiting[:-1], waiting[-1]))
    return result


def _completes_eq(before: Clause, piece: Clause) -> bool:
    """Whether "minus 3 dB" tells the gain of "low shelf at 120 Hz", said before."""
    decibels = piece.numbers("db")
    return (
        bool(decibels)
        and piece.joiner in {",", "with"}
        and not piece.any_of((*TARGET_KINDS, *ACTION_KINDS))
        and (bool(before.numbers("hz")) or before.has("region") or before.has("eq"))
        and not before.numbers("db")
        and not before.has("filter")
    )


DIRECTION_KINDS = ("up", "down", "more", "less", "add", "remove", "toomuch", "give")


def _lists_bands(before: Clause, piece: Clause) -> bool:
    """Whether a piece adds a band to the same change: "cut 200 Hz and 400 Hz by 3 dB"."""

    def is_band(clause: Clause) -> bool:
        return (bool(clause.numbers("hz")) or clause.has("region")) and not clause.any_of(
            ("filter", "pitch", "reverb", "compression", "tone")
        )

    return (
        piece.joiner in {"and", ","}
        and is_band(before)
        and is_band(piece)
        and before.any_of(DIRECTION_KINDS)
        and not piece.any_of(DIRECTION_KINDS)
        and not any(number.signed for number in piece.numbers("db"))
        and not (before.numbers("db") and piece.numbers("db"))
        and not (before.has_named_target and piece.has_named_target)
    )


def _names_means(before: Clause, piece: Clause) -> bool:
    """Whether "with compression" only names what "smash the drums" does."""
    return (
        piece.joiner == "with"
        and piece.has("compression")
        and before.has("compression")
        and not piece.has_named_target
    )


def _belongs_before(before: Clause | None, piece: Clause, following: Clause | None) -> bool:
    if before is None or piece.joiner in {".", ":"} or not before.has_said_something:
        return False
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


def _shared(clauses: list[Clause]) -> list[Clause]:
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
            or not following.has_named_target
            or not (
                _is_bare(clause) or not _has_own_verb(following) or _is_same_kind(clause, following)
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


_SHARED_LINK = (Lexeme("on", (("in", "in"),)),)


def _is_bare(clause: Clause) -> bool:
    meaningful = [item for item in clause.lexemes if not is_filler(item) and not item.mark]
    return len(meaningful) == 1 and not clause.numbers()


def _has_own_verb(clause: Clause) -> bool:
    return clause.has_verb


def _is_same_kind(one: Clause, other: Clause) -> bool:
    def is_eq(clause: Clause) -> bool:
        return bool(clause.numbers("hz")) or clause.has("region")

    return is_eq(one) and is_eq(other)


def _varied(clauses: list[Clause]) -> list[Clause]:
    """Lets each clause know the one before, for "… and the bass 2 dB"."""
    result: list[Clause] = []
    for clause in clauses:
        previous = result[-1] if result else None
        result.append(
            replace(clause, previous=replace(previous, previous=None) if previous else None)
        )
    return result

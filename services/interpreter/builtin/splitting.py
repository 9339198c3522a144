"""A prompt to pieces: cut at punctuation and joining words, reasons and stories dropped."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.language.lexemes import Lexeme


def pieces_of(lexemes: list[Lexeme]) -> list[Clause]:
    """Cuts a prompt into pieces, without what only tells why or for whom."""
    pieces = [_without_adjunct(piece) for piece in _pieces(lexemes)]
    return _without_fillers(_without_reasons(pieces))


def _without_fillers(pieces: list[Clause]) -> list[Clause]:
    """Drops pieces that say nothing ("please", "thanks"), keeping the pause they make."""
    kept: list[Clause] = []
    pause = ""
    for piece in pieces:
        says_nothing = all(
            item.mark or item.has("filler") or item.has("greeting") for item in piece.lexemes
        )
        if says_nothing:
            pause = stronger(pause, piece.joiner)
            continue
        kept.append(replace(piece, joiner=stronger(pause, piece.joiner)) if pause else piece)
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
            joiner = stronger(joiner, following)
        current = []

    for index, item in enumerate(lexemes):
        if _starts_another(item, lexemes, index, current):
            close(",")
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


_QUANTIFIERS = (("more", "more"), ("less", "less"), ("up", "loud"), ("down", "quiet"))


def _starts_another(item: Lexeme, lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether a new instruction starts without a joining word: "more drums less vocals"."""
    following = next((found for found in lexemes[index + 1 :] if not is_filler(found)), None)
    if not current or following is None:
        return False
    if (item.has("mute") or item.has("unmute")) and _ends_with_name(current):
        # "mute vocals unmute drums"
        return _is_name(following) and Clause(tuple(current)).has_action
    if _is_name(item) and current[-1].number and following.number:
        return any(_is_name(found) for found in current)  # "vocals -3 dB drums +2 dB"
    if _is_complete(current) and (_opens_command(item, following) or _tells_of_speaker(item)):
        return True
    quantified = any(found.has(*reading) for found in current for reading in _QUANTIFIERS)
    if any(item.has(*reading) for reading in _QUANTIFIERS) and _is_name(following):
        return quantified and _ends_with_name(current)
    # "treble up bass down"
    directed = ("up", "down", "mute")
    return (
        _is_name(item)
        and any(following.has(kind) for kind in directed)
        and any(current[-1].has(kind) for kind in directed)
        and any(_is_name(found) for found in current)
    )


def _is_complete(current: list[Lexeme]) -> bool:
    """Whether words already say what is to be done with what: "turn the drums up 5 dB"."""
    clause = Clause(tuple(current))
    last = current[-1]
    if any(last.has(kind) for kind in _LEADING) or last.has("filler", "article", "word"):
        return False
    if not clause.any_of(TARGET_KINDS):
        return False
    return clause.any_of(("up", "down", "more", "less", "mute", *EFFECT_KINDS))


_LEADING = (
    "to", "by", "in", "of", "for", "with", "and", "but", "or", "not", "set", "add", "like", "bound",
    "need", "give", "more", "less", "even", "too", "small", "big",
)  # fmt: skip
_OPENERS = {
    "pan", "mute", "unmute", "put", "add", "make", "turn", "boost", "raise", "compress", "pitch",
    "transpose", "bring", "lower", "squash", "give", "isolate", "remove",
}  # fmt: skip
_SPEAKERS = {"i", "i am", "i have", "we", "we are", "my"}


def _opens_command(item: Lexeme, following: Lexeme) -> bool:
    """Whether a verb opens the next command of a prompt without commas."""
    named = any(following.has(kind) for kind in TARGET_KINDS)
    return item.text in _OPENERS and (named or following.has("up") or following.has("down"))


def _tells_of_speaker(item: Lexeme) -> bool:
    """Whether a word opens what somebody tells of himself: "… louder pls im half deaf"."""
    return item.text in _SPEAKERS


def _is_name(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("target", "six", "region"))


def _ends_with_name(current: list[Lexeme]) -> bool:
    return _is_name(current[-1])


def stronger(first: str, second: str) -> str:
    """Returns the joiner that separates more."""
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
    if item.has("except") and _is_reservation(lexemes, index, current):
        return "but"
    if item.has("with") and current:
        return "with"
    if item.has("also") and not current:
        return None
    if item.has("or") and any(found.has("remove") or found.has("not") for found in current):
        return "and"  # "no reverb or compression"
    if item.text == "plus" and current:
        return "and"
    return None


def _is_reservation(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether "except" opens a complaint: "everything is great except the bass is too loud"."""
    end = next((i for i in range(index + 1, len(lexemes)) if lexemes[i].mark), len(lexemes))
    told = any(item.has("complaint") or item.text in _COPULAS for item in lexemes[index + 1 : end])
    return told and any(item.has("greeting", "praise") for item in current)


_COPULAS = {"is", "are", "was", "were"}


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
    if before and before[-1].text.endswith((" all", " everything")):
        rest = next((item for item in lexemes[index + 1 :] if not is_filler(item)), None)
        return rest is not None and any(rest.has(kind) for kind in NAMED_KINDS)  # "undo all but …"
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
    compared = hidden = False
    opening = _opening_purpose(items)
    for index, item in enumerate(items):
        if index < opening:
            continue
        if item.has("than") and not compared and _measures(items, index):
            kept.append(item)  # "louder than the drums" says no amount: it has to be asked
        # "louder than the drums by 2 dB": what it is compared with is not changed.
        compared = (compared or item.has("than")) and not (item.number or item.has("by"))
        hidden = hidden or _hides(kept, item)
        if compared or hidden:
            continue
        done = Clause(tuple(kept))
        says = done.has_action or done.any_of(("give", "only"))
        following = items[index + 1 : index + 2]
        negated = bool(kept) and kept[-1].has("not")
        if item.text == "so" and following and _is_degree_of(following[0]) and not negated:
            continue  # "sounds so tinny"
        tells = bool(kept) and kept[0].text in {"i", "we", "he", "she", "they", "my", "our"}
        if item.text == "so" and tells and following and following[0].has("filler", "polite"):
            kept.clear()  # "I only hear on the right, so could you pan …"
            continue
        if item.text == "so" and not says and following and _commands(following[0]):
            kept.clear()  # "I have a cold so pitch the song down"
            continue
        if item.text in _SO and kept and not _commands_by(done) and _asks(items[index + 1 :]):
            kept.clear()  # "the neighbours complained so less bass please"
            continue
        if item.has("says") and not done.any_of(TARGET_KINDS) and not says:
            kept.clear()  # "my wife says the bass is too boomy"
            continue
        if item.has("reason") and kept and (says or done.has_named_target):
            break
        if item.has("like") and says and not done.has("complaint") and done.any_of(EFFECT_KINDS):
            break
        if item.has("for") and _is_purpose(done, items[index + 1 :], says):
            break
        if item.has("question") and kept and says:
            break
        if item.has("leave") and item.text.startswith("without") and says:
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


def _measures(items: tuple[Lexeme, ...], place: int) -> bool:
    """Whether "than" measures one part by another, without a number."""
    if any(item.number for item in items):
        return False
    return any(item.has(kind) for item in items[place + 1 :] for kind in NAMED_KINDS)


def _is_degree_of(item: Lexeme) -> bool:
    return item.has("tone") or item.text in {"loud", "quiet", "low", "high", "weak"}


def _asks(rest: tuple[Lexeme, ...]) -> bool:
    """Whether what follows "so" is an instruction in itself: "so less bass please"."""
    clause = Clause(rest)
    if clause.unknown or any(item.has("pronoun") for item in rest):
        return False
    if clause.any_of(("need", "give")) and (clause.numbers("db") or clause.has("remove")):
        return clause.has_named_target or clause.has("file")
    placed = clause.has("side") and (clause.has("hard") or clause.has("pan"))
    return clause.has_named_target and (placed or clause.any_of(("more", "less", "remove", "only")))


_SO = {"so", "so the", "so i", "so we", "so my", "so our", "so it"}


def _commands_by(done: Clause) -> bool:
    """Whether a command stands before "so", for which what follows gives the reason."""
    if done.numbers():
        return True
    first = next((item for item in done.lexemes if not is_filler(item)), None)
    if first is None or not done.has_action:
        return False
    tells = done.has("complaint") or any(item.text in {"is", "are"} for item in done.lexemes)
    return is_verb(first) or (done.is_target_first and not tells)


def _hides(kept: list[Lexeme], item: Lexeme) -> bool:
    """Whether what follows only hides what is to be heard: "can't hear her over the drums"."""
    covers = item.has("bound", "above", "below") or item.text in {
        "over the",
        "behind",
        "by",
        "because of",
        "in",
        "through",
    }
    named = any(found.has(kind) for found in kept for kind in NAMED_KINDS)
    return covers and named and any(found.has("up", "buried") for found in kept)


def _commands(item: Lexeme) -> bool:
    return is_verb(item) or any(item.has(kind) for kind in ("pitch", "pan", "compression"))


def _opening_purpose(items: tuple[Lexeme, ...]) -> int:
    """Returns where the request begins after "For tonight's gig I need …", 0 where it is first."""
    start = next((i for i, item in enumerate(items) if not item.has("filler")), 0)
    if not items or not items[start].has("for"):
        return 0
    for index in range(start + 1, len(items)):
        item = items[index]
        if any(item.has(kind) for kind in TARGET_KINDS):
            return 0
        if item.has("filler", "polite") or is_verb(item):
            return index
    return 0


def _is_purpose(done: Clause, following: tuple[Lexeme, ...], says: bool) -> bool:
    rest = Clause(following)
    whose = following[0].text if following else ""
    if (
        says
        and whose in {"my", "our", "his", "her", "their", "a", "an"}
        and not (rest.any_of(TARGET_KINDS))
    ):
        return True
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
    for place, found in enumerate(pieces):
        piece = found if place else _without_opening_so(found)
        first = next((item for item in piece.lexemes if not is_filler(item)), None)
        if first is not None and first.has("reason"):
            command = piece.without(lambda item: item.text == "so")
            if first.text != "so" or not (command.has_verb or _asks(command.lexemes)):
                in_reason = True
                continue
            piece = command  # "…, so please mute the vocals"
        if in_reason and piece.joiner in {"and", "with"} and not piece.has_verb:
            continue
        in_reason = False
        kept.append(piece)
    return kept


def _without_opening_so(piece: Clause) -> Clause:
    """Drops the "so" that opens a prompt: it gives no reason."""
    if piece.lexemes and piece.lexemes[0].text == "so":
        return replace(piece, lexemes=piece.lexemes[1:])
    return piece

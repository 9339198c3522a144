"""Stretches of the track: "from 1:10 to 1:25", "in the first 30 seconds", "until 0:45".

A stretch becomes one lexeme with a `Span`; the clause that holds it changes only there.
"""

from __future__ import annotations

from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.intent import TimeRange
from services.interpreter.language.lexemes import Lexeme, Span
from services.interpreter.language.tokens import CLOCK

_FROM = {"from", "between", "starting", "start", "beginning", "after", "since", "starting from"}
_UNTIL = {"to", "until", "till", "and", "through", "up to", "til"}
_BEFORE = {"until", "till", "before", "up to", "til"}
_FIRST = {"first", "opening", "initial"}
_LAST = {"last", "final", "closing"}
_AROUND = {"in", "for", "during", "over", "over the", "on", "only", "just", "within"}
_ONWARDS = {"on", "onwards", "onward", "forward", "until the end", "to the end", "till the end"}
_START = {"beginning", "start", "at the start", "at the beginning", "the beginning"}


def with_spans(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads each stretch of time as one lexeme. Lengths ("a 3 second fade in") stay numbers."""
    if not any(map(_tells_time, lexemes)):
        return lexemes
    result: list[Lexeme] = []
    index = 0
    while index < len(lexemes):
        found = _span_at(lexemes, index)
        if found is None:
            result.append(lexemes[index])
            index += 1
            continue
        length, span = found
        text = " ".join(item.text for item in lexemes[index : index + length])
        while result and result[-1].text in _AROUND and _goes_with(result, span):
            result.pop()
        result.append(Lexeme(text, (("span", "span"),), span=span))
        index += length
    return result


def _tells_time(item: Lexeme) -> bool:
    timed = item.number is not None and item.number.unit in {CLOCK, "second"}
    return timed or item.text in {"minute", "second"}


def _goes_with(before: list[Lexeme], span: Span) -> bool:
    """Whether a word before a stretch only leads to it: "only in …", "for …"."""
    del span
    return not before[-1].has("side")


def _span_at(lexemes: list[Lexeme], start: int) -> tuple[int, Span] | None:
    return (
        _between(lexemes, start)
        or _for_so_long(lexemes, start)
        or _open_ended(lexemes, start)
        or _first_or_last(lexemes, start)
    )


def _seconds(lexemes: list[Lexeme], index: int, *, plain: bool = False) -> float | None:
    """Returns a point in time; a bare number counts as seconds where `plain`."""
    number = lexemes[index].number if 0 <= index < len(lexemes) else None
    if number is None or number.signed:
        return None
    units = {CLOCK, "second", ""} if plain else {CLOCK, "second"}
    return number.value if number.unit in units else None


def _skip(lexemes: list[Lexeme], index: int) -> int:
    """Returns the next place that is no filler and no "the"."""
    while index < len(lexemes) and lexemes[index].has("filler") and lexemes[index].text != "first":
        index += 1
    return index


def _text(lexemes: list[Lexeme], index: int) -> str:
    return lexemes[index].text if index < len(lexemes) else ""


def _between(lexemes: list[Lexeme], start: int) -> tuple[int, Span] | None:
    """Reads "from 1:10 to 1:25", "between 10 and 20 seconds", "1:10-1:25"."""
    index = start
    opened = _text(lexemes, index) in _FROM or _starts_at(lexemes, index)
    if opened:
        index += 2 if _starts_at(lexemes, index) else 1
    index = _skip(lexemes, index)
    if opened and _text(lexemes, index) in _START:
        first: float | None = 0.0
    else:
        first = _seconds(lexemes, index, plain=opened)
    if first is None:
        return None
    link = index + 1
    if link < len(lexemes) and _ends_range(lexemes[link]):
        second = _seconds(lexemes, link)
        return (link + 1 - start, Span(first, second)) if second is not None else None
    if _text(lexemes, link) not in _UNTIL:
        return None
    end = _skip(lexemes, link + 1)
    second = _seconds(lexemes, end)
    clocked = lexemes[index].number is not None and _is_clock(lexemes[index])
    if second is None and opened and _text(lexemes, end) in {"end", "the end", "at the end"}:
        return end + 1 - start, Span(first)
    if second is None or not (opened or (clocked and _is_clock(lexemes[end]))):
        return None
    return end + 1 - start, Span(first, second)


def _ends_range(item: Lexeme) -> bool:
    return item.number is not None and item.number.is_range_end


def _is_clock(item: Lexeme) -> bool:
    return item.number is not None and item.number.unit == CLOCK


def _starts_at(lexemes: list[Lexeme], index: int) -> bool:
    """Whether "starting at" or "beginning at" opens a stretch."""
    return _text(lexemes, index) in _FROM and _text(lexemes, index + 1) in {"at", "from"}


def _for_so_long(lexemes: list[Lexeme], start: int) -> tuple[int, Span] | None:
    """Reads "from 1:00 for 10 seconds", "at 1:00 for 10 seconds"."""
    index = start + (2 if _starts_at(lexemes, start) else 1)
    if _text(lexemes, start) not in {*_FROM, "at"}:
        return None
    first = _seconds(lexemes, index)
    if first is None or _text(lexemes, index + 1) != "for":
        return None
    length = _seconds(lexemes, index + 2)
    return None if length is None else (index + 3 - start, Span(first, first + length))


def _open_ended(lexemes: list[Lexeme], start: int) -> tuple[int, Span] | None:
    """Reads "from 1:10 on", "after 30 seconds", "until 0:45"."""
    word = _text(lexemes, start)
    index = start + (2 if _starts_at(lexemes, start) else 1)
    point = _seconds(lexemes, _skip(lexemes, index))
    if point is None:
        return None
    end = _skip(lexemes, index) + 1
    if word in _BEFORE:
        return end - start, Span(0.0, point)
    if word not in _FROM or word == "between":
        return None
    while end < len(lexemes) and lexemes[end].text in _ONWARDS:
        end += 1
    return end - start, Span(point)


def _first_or_last(lexemes: list[Lexeme], start: int) -> tuple[int, Span] | None:
    """Reads "the first 30 seconds", "the last minute"."""
    index = start
    while index < len(lexemes) and is_filler(lexemes[index]) and _text(lexemes, index) != "first":
        if lexemes[index].text not in {"the", "in", "for", "on", "over the"}:
            return None
        index += 1
    word = _text(lexemes, index)
    if word not in _FIRST | _LAST:
        return None
    length = _seconds(lexemes, index + 1)
    if length is None and _text(lexemes, index + 1) in {"minute", "second"}:
        length = 60.0 if _text(lexemes, index + 1) == "minute" else 1.0
    if length is None or _is_clock(lexemes[index + 1]):
        return None
    span = Span(0.0, length) if word in _FIRST else Span(last_s=length)
    return index + 2 - start, span


# --- What a stretch means ------------------------------------------------------------------------


def range_of(clause: Clause, track_seconds: float | None) -> TimeRange | None:
    """Returns the stretch of the track that a clause is about; None for all of it.

    Raises:
        UnclearError: several are named, one ends before it begins, or it counts from an end that is
            not known.
    """
    spans = clause.spans
    if not spans:
        return None
    if len(spans) > 1:
        raise UnclearError("Which of those times do you mean?")
    span = spans[0]
    at_start = span.start_s == 0.0 and span.last_s is None
    if (clause.has("fade", "out") and span.last_s) or (clause.has("fade", "in") and at_start):
        return None  # "fade out over the last 10 seconds": the fade of the track itself
    if span.last_s is not None:
        if track_seconds is None:
            raise UnclearError("I don't know how long the track is. From which time to which?")
        return TimeRange(max(0.0, track_seconds - span.last_s))
    if span.end_s is not None and span.end_s <= span.start_s:
        raise UnclearError("That ends before it begins. From which time to which?")
    return TimeRange(span.start_s, span.end_s)

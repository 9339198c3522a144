"""Tokens to lexemes: phrases of the vocabulary, numbers with units, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.interpreter.language.numerals import numeral_at
from services.interpreter.language.tokens import CLOCK, Token, tokens_of
from services.interpreter.language.typos import corrected
from services.interpreter.language.vocabulary import Reading, vocabulary


@dataclass(frozen=True)
class Number:
    """A number as it was said.

    Args:
        value: The number, with its sign.
        unit: "db", "hz", "percent", "semitone", "times", "share" (a quarter), "second",
            "millisecond", "clock" (a time of the track, in seconds), or "" for none.
        signed: Whether a sign was said.
        is_range_end: Whether it ends a range ("200-400").
        more: Whether it was said as an addition ("one more semitone", "another 2 dB").
    """

    value: float
    unit: str = ""
    signed: bool = False
    is_range_end: bool = False
    more: bool = False


@dataclass(frozen=True)
class Span:
    """A stretch of the track: "from 1:10 to 1:25", "in the last 30 seconds".

    Args:
        start_s: Where it begins, in seconds.
        end_s: Where it ends; None: with the track.
        last_s: How many seconds before the end of the track it begins, in place of `start_s`.
    """

    start_s: float = 0.0
    end_s: float | None = None
    last_s: float | None = None


@dataclass(frozen=True)
class Lexeme:
    """A phrase with its meanings, a number, a mark, a stretch of time, or a word not known.

    `place` is where it stands in its prompt, −1 for what nobody said but a rule put there.
    """

    text: str
    readings: tuple[Reading, ...] = ()
    number: Number | None = None
    mark: str = ""
    span: Span | None = None
    place: int = field(default=-1, compare=False)

    def has(self, kind: str, *values: str) -> bool:
        """Whether a reading has this kind, and one of the values where any are given."""
        for read, value in self.readings:  # a loop: this is asked thousands of times a prompt
            if kind == read and (not values or value in values):
                return True
        return False

    def value(self, kind: str) -> str:
        """Returns the value of the reading of this kind, "" where there is none."""
        return next((value for read, value in self.readings if read == kind), "")

    @property
    def is_unknown(self) -> bool:
        """Whether this is a word without a meaning."""
        return not (self.readings or self.number or self.mark or self.span)


def placed(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Tells each lexeme where it stands in its prompt."""
    return [replace(lexeme, place=place) for place, lexeme in enumerate(lexemes)]


_FACTORS = {"khz": ("hz", 1000.0), "tone": ("semitone", 2.0), "octave": ("semitone", 12.0)}
_FACTORS["cent"] = ("semitone", 0.01)
_FACTORS["minute"] = ("second", 60.0)


def lexemes_of(text: str) -> list[Lexeme]:
    """Reads a prompt. Never raises."""
    tokens = [
        replace(token, text=corrected(token.text)) if token.kind == "word" else token
        for token in tokens_of(text)
    ]
    words = [token.text if token.kind == "word" else "" for token in tokens]
    lexemes: list[Lexeme] = []
    index = 0
    while index < len(tokens):
        length, lexeme = _lexeme_at(tokens, words, index)
        lexemes.append(lexeme)
        index += length
    return _with_ranges(_without_starts(_with_shared_units(_signed(_tempered(lexemes)))))


_WIDEST_RANGE_DB = 6


_LEVEL_UNITS = {"db", "percent", "semitone"}


def _without_starts(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "from 30 to 50 percent" as "to 50 percent": where it is now is known."""
    result: list[Lexeme] = []
    for lexeme in lexemes:
        number = lexeme.number
        starts = len(result) > 2 and result[-1].text == "to" and result[-3].text == "from"
        first = result[-2].number if starts else None
        same = first and number and first.unit in {"", number.unit}
        if same and number and number.unit in _LEVEL_UNITS:
            result[-3:] = [result[-1]]
        result.append(lexeme)
    return result


def _with_ranges(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "2 to 3 dB" and "between 2 and 3 dB" as the middle."""
    result: list[Lexeme] = []
    for lexeme in lexemes:
        last, link = lexeme.number, result[-1].text if result else ""
        first = result[-2].number if len(result) > 1 else None
        opener = result[-3].text if len(result) > 2 else ""
        links = link == "to" and opener not in {"from", "to"}
        links = links or (link == "and" and opener == "between") or link == "or"
        if (
            links
            and first
            and last
            and last.unit == "db"
            and first.unit in {"", "db"}
            and not (first.signed or last.signed)
            and first.value < last.value <= first.value + _WIDEST_RANGE_DB
        ):
            del result[-3 if opener == "between" else -2 :]
            middle = replace(last, value=(first.value + last.value) / 2)
            result.append(Lexeme(f"{middle.value:g} db", number=middle))
            continue
        result.append(lexeme)
    return result


_DEGREES = {"too", "so", "very", "that", "overly", "quite", "super", "really", "all that"}


def _tempered(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "not too hard" and "not very much" as a small amount."""
    result: list[Lexeme] = []
    for lexeme in lexemes:
        strong = lexeme.has("big") or lexeme.has("hard") or lexeme.text in {"far", "extreme"}
        if (
            strong
            and len(result) >= 2
            and result[-1].text in _DEGREES
            and (result[-2].has("not") or result[-2].text == "but not")
        ):
            text = " ".join(item.text for item in (*result[-2:], lexeme))
            result[-2:] = [Lexeme(text, (("small", "small"), ("light", "light")))]
            continue
        result.append(lexeme)
    return result


def _lexeme_at(tokens: list[Token], words: list[str], index: int) -> tuple[int, Lexeme]:
    token = tokens[index]
    if token.kind == "mark":
        return 1, Lexeme(token.text, mark=token.text)
    length, readings = vocabulary().longest(words, index) if words[index] else (0, ())
    if readings and readings[0][0] == "interval":
        return length, _number_lexeme(
            words, index, length, Number(float(readings[0][1]), "semitone")
        )
    if readings and any(kind == "share" for kind, _ in readings):
        value = next(value for kind, value in readings if kind == "share")
        share, length = _of_a_unit(Number(float(value), "share"), words, index, length)
        return length, _number_lexeme(words, index, length, share)
    number = _number_at(tokens, words, index)
    counts = index and words[index - 1] in _BEFORE_ONE
    signed = index and words[index - 1] in _SIGNS and words[index + 1 : index + 2] == ["on"]
    placed = index > 1 and words[index - 1] in _SIGNS and words[index - 2] in {"at", "to", "by"}
    if words[index] == "one" and (counts or signed or placed):
        length = 0 if length == 1 else length  # "the vocals up one"
    if number and (number[1].unit or number[0] > length or token.kind == "number"):
        return number[0], _number_lexeme(words, index, number[0], number[1])
    if not length:
        return 1, Lexeme(token.text)
    return length, Lexeme(" ".join(words[index : index + length]), readings)


def _of_a_unit(share: Number, words: list[str], index: int, length: int) -> tuple[Number, int]:
    """Reads "a quarter of a semitone" as a number of semitones."""
    end = index + length
    end += words[end : end + 1] == ["of"]
    if words[end : end + 1] not in (["a"], ["an"], ["one"]):
        return share, length
    unit_length, unit = _unit_at(words, end + 1)
    if unit not in {"semitone", "tone", "octave", "db", "second"}:
        return share, length
    return _scaled(Number(share.value, unit)), end + 1 + unit_length - index


def _number_lexeme(words: list[str], index: int, length: int, number: Number) -> Lexeme:
    said = words[index : index + length]
    digits = [f"{number.value:g}"] if not said[0] else []
    return Lexeme(" ".join([*digits, *filter(None, said)]), number=number)


_BEFORE_ONE = {"up", "down", "by"}
_SIGNS = {"plus", "minus"}
_WHOLES = (["full"], ["whole"], ["entire"], ["complete"], ["good"], ["solid"], ["mere"])


def _number_at(tokens: list[Token], words: list[str], index: int) -> tuple[int, Number] | None:
    """Reads a number with its unit; "another dB" and "an octave" count as one."""
    found = numeral_at(tokens, index)
    more = False
    if found is None:
        step_length, step = _unit_at(words, index)
        if step in {"semitone", "tone"} and step_length == 2 and not _is_plural(words[index + 1]):
            return step_length, _scaled(Number(1.0, step))  # "half step up"
        if words[index] not in {"a", "an", "another", "half", "single"}:
            return None
        value = 0.5 if words[index] == "half" else 1.0
        length = (
            2 if words[index] == "half" and words[index + 1 : index + 2] in (["a"], ["an"]) else 1
        )
        unit_length, unit = _unit_at(words, index + length)
        if not unit and words[index + length : index + length + 1] in _WHOLES:
            length += 1  # "a full octave"
            unit_length, unit = _unit_at(words, index + length)
        if words[index] == "another":
            nested = numeral_at(tokens, index + 1) if index + 1 < len(tokens) else None
            if nested:
                length, value = nested[0] + 1, nested[1]
                unit_length, unit = _unit_at(words, index + length)
            more = True
        if more and not unit and length > 1:
            return length, Number(value, more=True)  # "another two"
        if not unit or (unit == "times"):
            return None
        if words[index + length + unit_length :][:3] == ["and", "a", "half"]:
            value, unit_length = value + 0.5, unit_length + 3  # "a semitone and a half"
        return length + unit_length, _scaled(Number(value, unit, more=more))
    length, value = found
    if tokens[index].text == CLOCK:
        return 1, Number(value, CLOCK, is_range_end=tokens[index].is_range_end)
    if (
        words[index + length : index + length + 1] == ["more"]
        and _unit_at(words, index + length + 1)[0]
    ):
        length, more = length + 1, True
    if words[index + length : index + length + 1] == ["of"]:
        unit_length, unit = _unit_at(words, index + length + 1)
        unit_length += 1 if unit else 0
    else:
        unit_length, unit = _unit_at(words, index + length)
    if not unit and words[index + length : index + length + 1] in _WHOLES:
        unit_length, unit = _unit_at(words, index + length + 1)
        unit_length += 1 if unit else 0  # "two whole octaves"
    if unit == "minute":
        value, unit, unit_length = _with_seconds(tokens, words, index + length, value, unit_length)
    if unit and words[index + length + unit_length :][:3] == ["and", "a", "half"]:
        value, unit_length = value + 0.5, unit_length + 3  # "two semitones and a half"
    token = tokens[index]
    negative = token.kind == "number" and token.value < 0
    number = Number(-value if negative else value, unit, token.signed, token.is_range_end, more)
    return length + unit_length, _scaled(number)


def _is_plural(word: str) -> bool:
    return word.endswith("s")


def _with_seconds(
    tokens: list[Token], words: list[str], index: int, minutes: float, unit_length: int
) -> tuple[float, str, int]:
    """Reads "1 minute 10 seconds" as one number of seconds."""
    place = index + unit_length
    place += words[place : place + 1] == ["and"]
    following = numeral_at(tokens, place) if place < len(tokens) else None
    if following is not None:
        length, unit = _unit_at(words, place + following[0])
        if unit == "second":
            end = place + following[0] + length
            return minutes * 60 + following[1], "second", end - index
    return minutes, "minute", unit_length


def _unit_at(words: list[str], index: int) -> tuple[int, str]:
    if index >= len(words) or not words[index]:
        return 0, ""
    length, readings = vocabulary().longest(words, index)
    unit = next((value for kind, value in readings if kind == "unit"), "")
    return (length, unit) if unit else (0, "")


def _scaled(number: Number) -> Number:
    unit, factor = _FACTORS.get(number.unit, (number.unit, 1.0))
    return replace(number, unit=unit, value=round(number.value * factor, 6))


def _signed(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "minus 3 dB" and "plus 5" as signs, and gives both ends of a range one unit."""
    result: list[Lexeme] = []
    for found in lexemes:
        lexeme, number = found, found.number
        before = result[-1] if result else None
        if number and before and before.text in {"minus", "plus", "negative"} and not number.signed:
            result.pop()
            factor = 1 if before.text == "plus" else -1
            number = replace(number, value=factor * number.value, signed=True)
            lexeme = Lexeme(lexeme.text, number=number)
        if number and number.is_range_end and before and before.number and not before.number.unit:
            scale = 1000.0 if before.number.value * 100 < number.value else 1.0
            shared = replace(before.number, unit=number.unit, value=before.number.value * scale)
            result[-1] = Lexeme(before.text, number=shared)
        result.append(lexeme)
    return result


def _with_shared_units(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Gives "between 2 and 4 kHz" and "from 500 to 2k" one unit."""
    result = list(lexemes)
    for index in range(3, len(result)):
        last, first, opener = result[index].number, result[index - 2].number, result[index - 3]
        if not (last and first and last.unit == "hz" and first.unit == ""):
            continue
        bare = opener.text not in {"by", "to"} and first.value < last.value
        in_khz = first.value * 100 < last.value
        if bare and (first.value >= 20 or in_khz) and result[index - 1].text == "to":
            result[index] = Lexeme(result[index].text, number=replace(last, is_range_end=True))
        elif opener.text not in {"between", "from"}:
            continue
        if result[index - 1].text in {"and", "to", "n"}:
            scale = 1000.0 if first.value * 100 < last.value else 1.0
            shared = replace(first, unit="hz", value=first.value * scale)
            result[index - 2] = Lexeme(result[index - 2].text, number=shared)
    return result

"""Spelled numbers: "a hundred and twenty", "two point five", "one and a half"."""

from __future__ import annotations

from services.interpreter.language.tokens import Token

_ONES = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: value
    for value, word in zip(
        range(20, 100, 10),
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
        strict=True,
    )
}
_SCALES = {"hundred": 100, "thousand": 1000}
_COLLECTIVE = {"couple": 2.0, "few": 3.0, "dozen": 12.0}
_FRACTIONS = {
    "a half": 0.5, "a quarter": 0.25, "one quarter": 0.25, "three quarters": 0.75,
    "a third": 1 / 3, "one third": 1 / 3, "two thirds": 2 / 3,
}  # fmt: skip


def numeral_at(tokens: list[Token], start: int) -> tuple[int, float] | None:
    """Returns the length in tokens and the value of the number at `start`, if there is one.

    Sums within a number ("a hundred and twenty") belong to it; "a" counts as one only before
    a scale ("a hundred") or a collective ("a couple of").
    """
    token = tokens[start]
    if token.kind == "number":
        return _with_fraction(tokens, start, 1, abs(token.value))
    if token.kind != "word":
        return None
    collective = _collective(tokens, start)
    if collective:
        return collective
    length, value = _spelled(tokens, start)
    if length == 0:
        return None
    return _with_fraction(tokens, start, length, value)


def _word(tokens: list[Token], index: int) -> str:
    return tokens[index].text if index < len(tokens) and tokens[index].kind == "word" else ""


def _collective(tokens: list[Token], start: int) -> tuple[int, float] | None:
    index = start + 1 if _word(tokens, start) == "a" else start
    value = _COLLECTIVE.get(_word(tokens, index))
    if value is None:
        return None
    length = index - start + 1
    if _word(tokens, index + 1) in {"of", "more"}:
        length += 1
    return length, value


def _spelled(tokens: list[Token], start: int) -> tuple[int, float]:
    index, total, current, seen = start, 0.0, 0.0, False
    while True:
        word = _word(tokens, index)
        if word in {"a", "one"} and _word(tokens, index + 1) in _SCALES and not seen:
            current, seen, index = 1, True, index + 1
        elif word in _ONES and not (seen and current % 10):
            current, seen, index = current + _ONES[word], True, index + 1
        elif word in _TENS and not (seen and current % 100):
            current, seen, index = current + _TENS[word], True, index + 1
        elif word in _SCALES and seen:
            if _SCALES[word] == 1000:
                total, current = total + current * 1000, 0
            else:
                current *= 100
            index += 1
        elif word == "and" and seen and _continues(tokens, index, total + current):
            index += 1
        else:
            break
    return (index - start, total + current) if seen else (0, 0.0)


def _continues(tokens: list[Token], index: int, value: float) -> bool:
    following = _word(tokens, index + 1)
    return value >= 100 and (following in _ONES or following in _TENS)


def _with_fraction(tokens: list[Token], start: int, length: int, value: float) -> tuple[int, float]:
    index = start + length
    if _word(tokens, index) == "point" and _word(tokens, index + 1) in _ONES:
        index += 1
        scale = 0.1
        while _word(tokens, index) in _ONES and _ONES[_word(tokens, index)] < 10:
            value += _ONES[_word(tokens, index)] * scale
            scale, index = scale / 10, index + 1
    elif _word(tokens, index) == "and":
        fraction = _FRACTIONS.get(f"{_word(tokens, index + 1)} {_word(tokens, index + 2)}")
        if fraction is not None:
            return index + 3 - start, round(value + fraction, 6)
    return index - start, round(value, 6)

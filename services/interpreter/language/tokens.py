"""Text to tokens: lower case, one spelling for signs and contractions, digits as numbers."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Literal

TokenKind = Literal["word", "number", "mark"]


CLOCK = "clock"
"""The unit of a time of the track ("1:10"), whose value is in seconds."""


@dataclass(frozen=True)
class Token:
    """A word, a number or a punctuation mark.

    Args:
        kind: What it is.
        text: The word, the attached unit of a number ("" without one), or the mark.
        value: The number, with its sign.
        signed: Whether a sign was written.
        is_range_end: Whether this number ends a range ("200-400").
    """

    kind: TokenKind
    text: str
    value: float = 0.0
    signed: bool = False
    is_range_end: bool = False


_SAME_CHARACTERS = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"'}
    | dict.fromkeys("−–—‒―‐‑", "-")
)
_CONTRACTIONS = {
    "can't": "can not",
    "cant": "can not",
    "cannot": "can not",
    "won't": "will not",
    "wont": "will not",
    "shan't": "shall not",
    "ain't": "is not",
    "let's": "let us",
    "gimme": "give me",
    "lemme": "let me",
    "wanna": "want to",
    "gonna": "going to",
    "gotta": "have to",
    "dunno": "do not know",
    "im": "i am",
    "ive": "i have",
    "id": "i would",
    "thats": "that is",
    "theres": "there is",
    "isnt": "is not",
    "arent": "are not",
    "dont": "do not",
    "doesnt": "does not",
    "didnt": "did not",
    "wasnt": "was not",
    "shouldnt": "should not",
    "couldnt": "could not",
    "wouldnt": "would not",
    "havent": "have not",
    "hasnt": "has not",
    "youre": "you are",
    "theyre": "they are",
    "&": "and",
    "thru": "through",
    "tho": "though",
    "w/o": "without",
    "w/": "with",
}
_ENDINGS = (
    ("n't", " not"),
    ("'re", " are"),
    ("'ve", " have"),
    ("'ll", " will"),
    ("'d", " would"),
    ("'m", " am"),
)
_IS = {"it", "that", "there", "what", "he", "she", "who", "where", "here", "how"}
_SHARP_NOTE = re.compile(r"\b([a-g])#")
_LESS = re.compile(r"\b(vocal|voice|drum|bass|guitar|piano)s?-less\b")
_LIKENESS = re.compile(r"(?<=[a-z]{3})-(?=(?:y|ey)\b)|(?<=[a-z]{3})-ish\b")
_TITLE = re.compile(
    r"\b(called|titled|named|entitled|lyrics?|says?|said|shouted|yelled|replied|saying|title|file(?:name)?|sings?|tag)\b[\s:]*"
    r"(\"[^\"]*\"|'[^']*')"
)
_ENUMERATED = re.compile(r"(?:^|[:.!?\n])\s*1[.)]\s+[a-z]")
_ENUMERATOR = re.compile(r"(?<![\w.])[1-9][.)]\s+(?=[a-z])")
_GLUED_SIGN = re.compile(r"(?<=[a-z])=?([+-])(?=\d+(?:\.\d+)?\s?db)")
_DRUM_MACHINE = re.compile(r"(?<!at )(?<!to )(?<!by )\b808s?\b(?!\s*(?:hz|hertz|k\b|db|%))")
_INFIX_K = re.compile(r"\b(\d{1,2})k(\d)\b")
_TRANSPOSED_DB = re.compile(r"(?<=\d)\s?bds?\b")
_PATTERN = re.compile(
    r"""
    (?P<time>\b\d{1,2}:\d{2}\b)
  | (?P<sign>(?<![\w.])[+-]\s?)?
    (?P<digits>\d{1,3}(?:[,'\u00a0]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)
    (?:\s?(?P<percent>%)|(?P<suffix>[a-z]+))?
  | (?P<word>w/o?(?=\s|$)|[^\W\d_][^\W_]*(?:'[^\W\d_]+)*'?|\d*[^\W_]+)
  | (?P<mark>[.,;:!?&+\-/\n()"=]+)
    """,
    re.VERBOSE,
)
_KNOWN_SUFFIXES = re.compile(
    r"(d[bB]s?|k(?:hz)?|hz|x|st|semitones?|percent|octaves?|cents?|s|th|nd|rd|ms|msec|secs?|seconds?|hertz|bpm|mins?|minutes?)$"
)


def tokens_of(text: str) -> list[Token]:
    """Splits a prompt into tokens. Never raises; characters without meaning are dropped."""
    text = unicodedata.normalize("NFC", text).translate(_SAME_CHARACTERS).lower()
    text = _TITLE.sub(r"\1 ", text)
    text = _LESS.sub(r"\1less", text)
    text = _LIKENESS.sub("", text)
    text = _INFIX_K.sub(r"\1.\2k", text)
    text = _TRANSPOSED_DB.sub(" db", text)
    if _ENUMERATED.search(text):
        text = _ENUMERATOR.sub(". ", text)
    text = _GLUED_SIGN.sub(r" \1", text.replace("@", " at "))
    text = _DRUM_MACHINE.sub("eight oh eight", text)
    text = _SHARP_NOTE.sub(r"\1 sharp", text)
    tokens: list[Token] = []
    for match in _PATTERN.finditer(text):
        found = _tokens_of_match(match, text)
        if tokens and match["mark"] and set(match["mark"].strip()) <= {"-"}:
            # "200-400" is a range; "200 - 400" and "vocals - louder" have a dash.
            follows = text[match.end() : match.end() + 1]
            if tokens[-1].kind == "number" and follows.isdigit():
                tokens.append(Token("mark", "range"))
                continue
        tokens += found
    return _with_ranges(tokens)


def _tokens_of_match(match: re.Match[str], text: str) -> list[Token]:
    if match["time"]:
        minutes, seconds = match["time"].split(":")
        return [Token("number", CLOCK, 60.0 * int(minutes) + int(seconds))]
    if match["digits"]:
        return _number(match)
    if match["word"]:
        return [Token("word", word) for word in _words(match["word"])]
    return _mark(match, text)


def _number(match: re.Match[str]) -> list[Token]:
    digits = match["digits"].replace("'", "").replace("\u00a0", "")
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    value = float(digits.replace(",", "."))
    sign = (match["sign"] or "").strip()
    value = -value if sign == "-" else value
    suffix = "percent" if match["percent"] else (match["suffix"] or "")
    if suffix and not _KNOWN_SUFFIXES.match(suffix):
        return [Token("word", match.group(0).strip())]
    if suffix in {"th", "nd", "rd"} or (suffix == "st" and value == 1):
        return [Token("word", match.group(0).strip())]
    number = Token("number", "", value, bool(sign))
    return [number, Token("word", suffix)] if suffix else [number]


def _words(word: str) -> list[str]:
    word = word.strip("'") if word not in _CONTRACTIONS else word
    if word in _CONTRACTIONS:
        return _CONTRACTIONS[word].split()
    for ending, replacement in _ENDINGS:
        if word.endswith(ending):
            return (word[: -len(ending)] + replacement).split()
    if word.endswith("'s"):
        stem = word[:-2]
        return [stem, "is"] if stem in _IS else [stem]
    return [word.replace("'", "")]


def _mark(match: re.Match[str], text: str) -> list[Token]:
    mark = match["mark"]
    if set(mark) <= set("-"):
        before = text[match.start() - 1 : match.start()]
        after = text[match.end() : match.end() + 1]
        if before.isalnum() and after.isalnum():
            return []  # a hyphen
        return [Token("mark", ",")]
    if "&" in mark or mark.strip() == "+" or mark == "/":
        return [Token("word", "and")]
    for kind in ("?", "!", ".", "\n", ";", ":", ",", "("):
        if kind in mark:
            return [
                Token("mark", "." if kind in {"!", "\n", ";"} else "," if kind == "(" else kind)
            ]
    return [Token("mark", ",")] if ")" in mark else []


def _with_ranges(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    pending = False
    for token in tokens:
        if token == Token("mark", "range"):
            pending = True
        elif pending and token.kind == "number":
            result.append(replace(token, is_range_end=True))
            pending = False
        else:
            result.append(token)
    return result

"""What only names the present state: "half as loud as they are now", "6 dB lower than it is"."""

from __future__ import annotations

from services.interpreter.language.lexemes import Lexeme


def without_present(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops what only says that a change starts from now: every change does."""
    return _compared_with_now(_without_now(lexemes))


_COMPARED = {"lower than": (("down", "plain"),), "higher than": (("up", "loud"),)}

_NOW = {
    "now", "right now", "currently", "at the moment", "is", "are", "it is", "they are", "is now",
    "are now", "present", "today", "so far", "at present", "already", "its", "currently is", "be",
}  # fmt: skip

_AS_NOW = {"as they are", "as it is", "as is"}


def _without_now(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "half as loud as they are now" as "half as loud": every change starts from now."""
    result: list[Lexeme] = []
    index = 0
    while index < len(lexemes):
        length = _said_of_now(lexemes, index) if _compares(result) else 0
        if not length:
            result.append(lexemes[index])
        index += length or 1
    return result


def _compares(before: list[Lexeme]) -> bool:
    return any(
        item.number or any(item.has(kind) for kind in ("half", "double", "up", "down"))
        for item in before[-4:]
    )


def _said_of_now(lexemes: list[Lexeme], start: int) -> int:
    """Returns how many words only name the present state, 0 where none do."""
    opener = lexemes[start]
    if not (opener.has("than") or opener.text == "as" or opener.text in _AS_NOW):
        return 0
    if opener.text in _AS_NOW and not any(
        item.has("half") or item.has("double") for item in lexemes[max(0, start - 3) : start]
    ):
        return 0
    end = start + 1
    while end < len(lexemes) and (lexemes[end].text in _NOW or lexemes[end].has("pronoun")):
        end += 1
    over = end == len(lexemes) or bool(lexemes[end].mark) or lexemes[end].has("and")
    over = over or lexemes[end].has("filler", "polite") or lexemes[end].has("by")
    return end - start if over and (end > start + 1 or opener.text in _AS_NOW) else 0


def _compared_with_now(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "6 dB lower than they are" as "6 dB lower"."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        following = lexemes[index + 1] if index + 1 < len(lexemes) else None
        reading = _COMPARED.get(item.text)
        now = following is not None and (following.has("pronoun") or following.has("filler"))
        result.append(Lexeme(item.text, reading) if reading and now else item)
    return result

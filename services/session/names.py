"""What callers may call things: names for people and identifiers of requests."""

from __future__ import annotations

import unicodedata

from services.session.errors import InvalidNameError, InvalidRequestIdError

MAX_NAME_CHARACTERS = 255
MAX_REQUEST_ID_CHARACTERS = 64


def check_display_name(name: str) -> str:
    """Returns a name for people without spaces around it.

    Raises:
        InvalidNameError: it is empty, longer than 255 characters, or holds a path separator or a
            control character.
    """
    stripped = name.strip()
    if not stripped:
        raise InvalidNameError("A name must not be empty.")
    if len(stripped) > MAX_NAME_CHARACTERS:
        raise InvalidNameError(
            f"A name has at most {MAX_NAME_CHARACTERS} characters.",
            metadata={"characters": str(len(stripped))},
        )
    if any(character in "/\\" or _is_control(character) for character in stripped):
        raise InvalidNameError("A name must hold neither path separators nor control characters.")
    return stripped


def check_request_id(request_id: str) -> str:
    """Returns a request id. Raises InvalidRequestIdError where it is not 1 to 64 characters."""
    if not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARACTERS:
        raise InvalidRequestIdError(
            f"A request id has 1 to {MAX_REQUEST_ID_CHARACTERS} characters.",
            metadata={"characters": str(len(request_id))},
        )
    return request_id


def _is_control(character: str) -> bool:
    # Not str.isprintable, which refuses the joiners within emoji and in several scripts.
    return unicodedata.category(character) in {"Cc", "Zl", "Zp"}

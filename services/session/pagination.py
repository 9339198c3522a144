"""Pages of a listing (AIP-158): a page ends with a key, and the next one begins after it.

A token is opaque to callers. It holds the listing that gave it and the key of the last row, so that
rows that come and go meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from services.session.errors import InvalidPageSizeError, InvalidPageTokenError

_T = TypeVar("_T")
_U = TypeVar("_U")

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


@dataclass(frozen=True)
class PageRequest:
    """Which page: how many at most (0 for the default), and the token of the page before."""

    page_size: int = 0
    page_token: str = ""

    @property
    def limit(self) -> int:
        """How many rows the page has at most. Raises InvalidPageSizeError for a negative size."""
        if self.page_size < 0:
            raise InvalidPageSizeError(self.page_size)
        return min(self.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


@dataclass(frozen=True)
class Page(Generic[_T]):
    """A page of a listing; `next_page_token` is empty at the end."""

    items: tuple[_T, ...]
    next_page_token: str

    def map(self, convert: Callable[[Sequence[_T]], Sequence[_U]]) -> Page[_U]:
        """Returns the page with its items converted, all at once."""
        return Page(tuple(convert(self.items)), self.next_page_token)


def cut_page(listing: str, rows: Sequence[_T], limit: int, key: Callable[[_T], str]) -> Page[_T]:
    """Makes a page of rows of which one more than `limit` was asked for."""
    kept = tuple(rows[:limit])
    token = _encode(listing, key(kept[-1])) if len(rows) > limit else ""
    return Page(kept, token)


def time_key(time: datetime, identifier: str) -> str:
    """Returns the key of a row in a listing by time."""
    return f"{time.isoformat()} {identifier}"


def after_time_key(listing: str, token: str) -> tuple[datetime, str] | None:
    """Returns the time and identifier that a token names; None for the first page.

    Raises:
        InvalidPageTokenError: this listing did not give the token.
    """
    if not token:
        return None
    time, _, identifier = _decode(listing, token).partition(" ")
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise InvalidPageTokenError from None
    if parsed.tzinfo is None or not identifier:
        raise InvalidPageTokenError
    return parsed, identifier


def after_number(listing: str, token: str) -> int:
    """Returns the number that a token names; 0 for the first page.

    Raises:
        InvalidPageTokenError: this listing did not give the token.
    """
    if not token:
        return 0
    text = _decode(listing, token)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidPageTokenError
    return int(text)


def _encode(listing: str, key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([listing, key]).encode()).decode()


def _decode(listing: str, token: str) -> str:
    try:
        document = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidPageTokenError from None
    match document:
        case [str(origin), str(key)] if origin == listing:
            return key
        case _:
            raise InvalidPageTokenError

"""The kinds of columns that tables are made of."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Dialect, ForeignKey, String
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field

from services.session.errors import InvalidTextError


def new_id() -> str:
    """Returns a random identifier, 32 hexadecimal digits."""
    return uuid.uuid4().hex


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite knows no time zones, so they are put on here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Checks that the time has a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Returns the time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Text(TypeDecorator[str]):
    """A text from outside. PostgreSQL cannot hold NUL; both databases refuse it alike."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuses NUL with InvalidTextError."""
        if value is not None and "\0" in value:
            raise InvalidTextError
        return value


class Json(TypeDecorator[Any]):
    """A JSON document; None is NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True


def reference(target: str, *, index: bool = False, primary_key: bool = False) -> Any:
    """A column that cannot be NULL and goes with the row that it refers to."""
    return Field(
        sa_column=Column(
            Text,
            ForeignKey(target, ondelete="CASCADE"),
            nullable=False,
            index=index,
            primary_key=primary_key,
        )
    )


def identifier() -> Any:
    """A column that names the row, at random where nobody says how."""
    return Field(default_factory=new_id, sa_column=Column(Text, primary_key=True))

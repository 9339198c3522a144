"""Pages: what a token holds, and what is no token."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.session.errors import InvalidPageSizeError, InvalidPageTokenError
from services.session.pagination import (
    PageRequest,
    after_number,
    after_time_key,
    cut_page,
    time_key,
)

times = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize(("asked", "given_"), [(0, 50), (1, 1), (200, 200), (201, 200)])
def test_the_page_size_is_at_most_200_and_50_unless_said(asked: int, given_: int) -> None:
    assert PageRequest(asked).limit == given_


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidPageSizeError):
        _ = PageRequest(-1).limit


def test_the_last_page_has_no_token() -> None:
    assert cut_page("numbers", [1, 2, 3], 3, str).next_page_token == ""
    assert cut_page("numbers", [], 3, str).next_page_token == ""


def test_a_page_is_cut_where_there_is_more() -> None:
    page = cut_page("numbers", [1, 2, 3, 4], 3, str)
    assert page.items == (1, 2, 3)
    assert after_number("numbers", page.next_page_token) == 3


@given(times, st.text("0123456789abcdef", min_size=1))
def test_a_time_key_comes_back_exactly(time: datetime, identifier: str) -> None:
    page = cut_page("things", [0, 1], 1, lambda _: time_key(time, identifier))
    assert after_time_key("things", page.next_page_token) == (time, identifier)


def test_no_token_is_the_beginning() -> None:
    assert after_time_key("things", "") is None
    assert after_number("things", "") == 0


def test_a_token_of_another_listing_is_refused() -> None:
    token = cut_page("tracks", [0, 1], 1, lambda _: time_key(datetime.now(UTC), "a"))
    with pytest.raises(InvalidPageTokenError):
        after_time_key("sessions", token.next_page_token)


@given(st.text())
def test_no_text_breaks_the_reading_of_tokens(token: str) -> None:
    for read in (after_time_key, after_number):
        if token:
            with pytest.raises(InvalidPageTokenError):
                read("things", token)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        ["things"],
        ["things", 3],
        ["things", "x"],
        ["things", "2026-01-01T00:00:00 a"],  # a time without a zone
        ["things", "2026-01-01T00:00:00+00:00"],
        ["things", "2026-01-01T00:00:00+00:00 "],
        {"things": 1},
    ],
)
def test_a_forged_token_is_refused(document: object) -> None:
    token = base64.urlsafe_b64encode(json.dumps(document).encode()).decode()
    with pytest.raises(InvalidPageTokenError):
        after_time_key("things", token)


@pytest.mark.parametrize("key", ["", "-1", "1.5", "²", "9" * 30, "1 2"])
def test_a_number_that_is_none_is_refused(key: str) -> None:
    page = cut_page("things", [0, 1], 1, lambda _: key)
    with pytest.raises(InvalidPageTokenError):
        after_number("things", page.next_page_token)


def test_times_of_other_zones_mean_the_same_moment() -> None:
    local = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    page = cut_page("things", [0, 1], 1, lambda _: time_key(local, "a"))
    assert after_time_key("things", page.next_page_token) == (local.astimezone(UTC), "a")

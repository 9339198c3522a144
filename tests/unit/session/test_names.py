"""Names for people, request ids and lease durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.session.errors import (
    InvalidLeaseDurationError,
    InvalidNameError,
    InvalidRequestIdError,
)
from services.session.leases import check_duration
from services.session.names import check_display_name, check_request_id


@pytest.mark.parametrize(
    "name", ["song.wav", "Für Elise.flac", "歌.mp3", "👩‍👩‍👧 family", "x" * 255, "a: b? *", "…"]
)
def test_a_name_for_people_is_nearly_any_text(name: str) -> None:
    assert check_display_name(name) == name


def test_spaces_around_a_name_do_not_belong_to_it() -> None:
    assert check_display_name("  a song \n") == "a song"


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 256, "a/b", "a\\b", "../x", "a\nb", "a\0b", "a\x7fb", "a\u2028b"]
)
def test_paths_and_control_characters_are_no_names(name: str) -> None:
    with pytest.raises(InvalidNameError):
        check_display_name(name)


def test_a_request_id_has_1_to_64_characters() -> None:
    assert check_request_id("x" * 64)
    for request_id in ("", "x" * 65):
        with pytest.raises(InvalidRequestIdError):
            check_request_id(request_id)


def test_a_lease_holds_5_to_300_seconds_and_30_unless_said() -> None:
    assert check_duration(None) == timedelta(seconds=30)
    for seconds in (5, 300):
        assert check_duration(timedelta(seconds=seconds)) == timedelta(seconds=seconds)
    for seconds in (-1, 0, 4.999, 300.001):
        with pytest.raises(InvalidLeaseDurationError):
            check_duration(timedelta(seconds=seconds))

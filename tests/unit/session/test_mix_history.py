"""Undo and redo are walks along a line of mixes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.session.mix_history import MixLine

lines = st.integers(0, 30).flatmap(
    lambda length: st.builds(
        MixLine,
        st.just((None, *(f"mix {number}" for number in range(1, length + 1)))),
        st.integers(0, length),
    )
)


def test_a_new_session_stands_on_the_original() -> None:
    line = MixLine()
    assert (line.current, line.tip) == (None, None)
    assert line.walk(-1) == line.walk(1) == line


def test_undo_walks_to_the_original_and_redo_back() -> None:
    line = MixLine().extended("a").extended("b").extended("c")
    assert line.walk(-1).current == "b"
    assert line.walk(-2).current == "a"
    assert line.walk(-3).current is None
    assert line.walk(-2).walk(1).current == "b"
    assert line.walk(-2).tip == "c"


def test_a_change_after_undo_leaves_what_was_undone_behind() -> None:
    line = MixLine().extended("a").extended("b").walk(-1).extended("c")
    assert line.places == (None, "a", "c")
    assert line.walk(5).current == "c"


def test_what_undo_and_redo_would_bring_back_is_told_nearest_first() -> None:
    line = MixLine().extended("a").extended("b").extended("c").extended("d").walk(-2)
    assert line.undo_places(9) == ("a", None)
    assert line.undo_places(1) == ("a",)
    assert line.redo_places(9) == ("c", "d")
    assert line.redo_places(1) == ("c",)


def test_a_line_is_read_from_parents_whatever_else_hangs_there() -> None:
    parents = {"a": None, "b": "a", "c": "b", "beside": "a"}
    assert MixLine.from_parents(parents, "c", "a") == MixLine((None, "a", "b", "c"), 1)
    assert MixLine.from_parents(parents, "beside", None) == MixLine((None, "a", "beside"), 0)
    with pytest.raises(ValueError, match="beside"):
        MixLine.from_parents(parents, "c", "beside")


@pytest.mark.parametrize(
    ("places", "position"), [((), 0), (("a",), 0), ((None,), 1), ((None,), -1)]
)
def test_a_line_that_is_none_cannot_be_made(places: tuple[str | None, ...], position: int) -> None:
    with pytest.raises(ValueError, match="line of mixes"):
        MixLine(places, position)


@given(lines, st.integers(-40, 40))
def test_a_walk_stays_on_the_line(line: MixLine, steps: int) -> None:
    walked = line.walk(steps)
    assert walked.places == line.places
    assert 0 <= walked.position < len(line.places)
    assert abs(walked.position - line.position) <= abs(steps)


@given(lines, st.integers(1, 40))
def test_redo_takes_back_an_undo_that_had_room(line: MixLine, steps: int) -> None:
    if steps <= line.position:
        assert line.walk(-steps).walk(steps) == line


@given(lines)
def test_undo_of_a_change_is_where_it_was_made(line: MixLine) -> None:
    assert line.extended("new").walk(-1).current == line.current


@given(lines)
def test_a_line_comes_back_from_its_parents(line: MixLine) -> None:
    parents = dict(zip(line.places[1:], line.places[:-1], strict=True))
    assert MixLine.from_parents(parents, line.tip, line.current) == line

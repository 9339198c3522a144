"""`docs/effects.md` tells of every effect what the code does; its pictures are drawn from that."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot

from mixdown.mix import RANGES, TargetSettings
from scripts import plot_effects
from services.remixer.effects import reverb
from services.remixer.effects.compression import PRESETS
from services.remixer.effects.distortion import drive

_LARGEST_DIFFERENCE = 0.25
"""Of the way from black to white: edges of lines may be drawn a little otherwise elsewhere."""

_MOST_PIXELS = 1e-3
"""Of a picture: what a spectrum shows 100 dB down is not the same on every machine."""

PAGE = plot_effects.FOLDER.parent / "effects.md"
PICTURES = sorted(path.stem for path in plot_effects.FOLDER.iterdir())


@pytest.fixture(scope="module")
def page() -> str:
    """The page with numbers as Python writes them."""
    text = PAGE.read_text().replace("−", "-").replace("+", "")
    return re.sub(r"(?<=\d) (?=\d{3}\b)", "", text)


def cells(page: str, first: str) -> list[str]:
    """The cells of the row of a table that begins with `first`, without their units."""
    (row,) = re.findall(rf"^\| {re.escape(first)} \|(.*)\|$", page, re.MULTILINE)
    return [cell.split(" ")[0] for cell in (part.strip() for part in row.split("|"))]


@pytest.mark.parametrize("setting", [field.name for field in fields(TargetSettings)])
def test_every_setting_is_told_of(page, setting):
    names = {
        "eq": ["eq.type", "eq.frequency_hz", "eq.gain_db", "eq.q"],
        "filters": ["filters.type", "filters.cutoff_hz", "filters.low_hz", "filters.high_hz"],
        "passages": ["start_s", "end_s"],
    }
    assert all(f"`{name}`" in page for name in names.get(setting, [setting]))


@pytest.mark.parametrize("setting", RANGES)
def test_every_range_is_the_one_that_is_checked(page, setting):
    name, allowed = setting.removeprefix("passages."), RANGES[setting]
    told = rf"`{re.escape(name)}`.*(?<![\d.-]){allowed.minimum:g} .*to {allowed.maximum:g}(?![\d.])"
    assert re.search(told, page), told


@pytest.mark.parametrize("level", PRESETS)
def test_the_levels_of_compression_are_those_of_the_code(page, level):
    preset = PRESETS[level]
    threshold, ratio, knee, attack, release = map(float, cells(page, f"`{level}`"))
    assert (threshold, ratio) == (preset.threshold_lu, preset.ratio)
    assert (knee, attack, release) == (preset.knee_db, preset.attack_ms, preset.release_ms)


@pytest.mark.parametrize("amount", [0.15, 0.3, 0.7, 1.0])
def test_the_rooms_are_those_of_the_code(page, amount):
    room = reverb.room(amount)
    table = page[page.index("## Reverb") :]
    size, decay_seconds, _ = map(float, cells(table, f"{amount:g}"))
    assert size == pytest.approx(room.size, abs=0.006)
    assert decay_seconds == pytest.approx(room.decay_seconds, abs=0.051)


@pytest.mark.parametrize("amount", [0.1, 0.25, 0.5, 1.0])
def test_the_drives_are_those_of_the_code(page, amount):
    table = page[page.index("## Distortion") : page.index("## Chorus")]
    assert float(cells(table, f"{amount:g}")[0]) == pytest.approx(drive(amount), abs=0.051)


def test_every_picture_is_shown(page):
    assert sorted(re.findall(r"!\[.*\]\(effects/(.*)\.png\)", page)) == PICTURES


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    plot_effects.main(folder)
    return folder


def test_nothing_else_is_drawn(drawn):
    assert sorted(path.stem for path in drawn.iterdir()) == PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_what_the_code_does_now(drawn, name):
    shown, now = (pyplot.imread(folder / f"{name}.png") for folder in (plot_effects.FOLDER, drawn))
    assert shown.shape == now.shape
    differs = np.abs(shown - now).max(axis=-1) > _LARGEST_DIFFERENCE
    assert differs.mean() < _MOST_PIXELS, "`make docs` draws it anew"

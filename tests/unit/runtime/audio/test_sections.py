"""Sections loaded alone are those of SciPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from services.runtime.audio.sections import Sections


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 2),
    order=st.integers(1, 6),
    cuts=st.lists(st.integers(0, 500), max_size=6),
    seed=st.integers(0, 99),
)
def test_a_stream_is_filtered_as_scipy_filters_the_whole(channels, order, cuts, seed):
    random = np.random.default_rng(seed)
    samples = random.standard_normal((channels, 1_500)).astype(np.float32)
    coefficients = butter(order, 0.1, output="sos")
    sections = Sections(coefficients, channels)
    parts = np.split(samples, np.minimum(np.cumsum(cuts, dtype=int), 1_500), axis=1)
    filtered = np.concatenate([sections.process(part) for part in parts], axis=1)
    assert (filtered == sosfilt(coefficients, samples.astype(np.float64), axis=1)).all()


def test_other_channels_than_announced_are_refused():
    with pytest.raises(ValueError, match="2 channels"):
        Sections(butter(2, 0.1, output="sos"), 2).process(np.zeros((1, 10), np.float32))


def test_they_come_without_the_rest_of_scipy_and_get_on_with_it():
    program = (
        "import sys\n"
        "import services.runtime.audio.sections\n"
        "print('scipy.signal' in sys.modules, 'scipy.stats' in sys.modules)\n"
        "import scipy.signal\n"
        "print(scipy.signal.sosfilt([[1, 0, 0, 1, 0, 0]], [5.0, 6.0]))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split("\n")[:2] == ["False False", "[5. 6.]"]

"""Second-order sections: SciPy's loop without the rest of `scipy.signal`.

Importing `scipy.signal` takes 0.6 s and 50 MB, for optimisation, statistics and splines. The check
of an upload is a process of its own that needs nothing of that, and for most songs all of its work
takes less. The loop is a compiled module that imports NumPy only, so it is loaded alone. Its
results are those of `scipy.signal.sosfilt`, bit for bit: that calls it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy

from services.runtime.audio.reader import Samples


class Sections:
    """Filters a stream by second-order sections, one after another, in float64.

    Args:
        coefficients: `[sections, 6]`, each row b0, b1, b2, 1, a1, a2, as in `scipy.signal`.
        channels: Number of channels.
    """

    def __init__(self, coefficients: npt.NDArray[np.float64], channels: int) -> None:
        self._coefficients = np.ascontiguousarray(coefficients, np.float64)
        self._state = np.zeros((channels, len(coefficients), 2))

    def process(self, block: Samples) -> npt.NDArray[np.float64]:
        """Returns the block, filtered.

        Raises:
            ValueError: it has other channels.
        """
        if block.ndim != 2 or block.shape[0] != len(self._state):
            raise ValueError(f"{len(self._state)} channels were announced, not {block.shape}")
        filtered = np.array(block, np.float64, order="C")
        _filter_in_place(self._coefficients, filtered, self._state)
        return filtered


def _load() -> Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64], object], None]:
    folder = Path(scipy.__path__[0]) / "signal"
    spec = PathFinder.find_spec("scipy.signal._sosfilt", [str(folder)])
    if spec is None or spec.loader is None:
        raise ImportError(f"SciPy {scipy.__version__} has no sections in {folder}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., None] = module._sosfilt
    return function


_filter_in_place = _load()

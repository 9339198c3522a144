"""The files that a render hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OutputKind = Literal["mix", "stem", "without"]


@dataclass(frozen=True)
class Output:
    """One file that a render hands out.

    Args:
        kind: "mix" is everything with the mix applied; "stem" one stem with its own settings;
            "without" the original minus `stems`, as it is.
        stems: None for "mix", one for "stem", one or more for "without".
    """

    kind: OutputKind
    stems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {"mix": len(self.stems) == 0, "stem": len(self.stems) == 1}
        if not counts.get(self.kind, len(self.stems) >= 1):
            raise ValueError(f"an output of kind {self.kind!r} cannot have {len(self.stems)} stems")
        if len(set(self.stems)) != len(self.stems):
            raise ValueError(f"the stems of an output repeat: {', '.join(self.stems)}")

    @property
    def name(self) -> str:
        """The output's name: "mix", "vocals", "without-vocals-drums"."""
        return {"mix": "mix", "stem": "".join(self.stems)}.get(
            self.kind, "-".join(("without", *self.stems))
        )

"""The mix: the complete, non-destructive settings of every target.

The one vocabulary that the interpreter edits, the session stores, the remixer renders and callers
read. Values are frozen and hold no protobuf; `mixdown.mix.protobuf` translates.
"""

from mixdown.mix.outputs import Output, OutputKind
from mixdown.mix.settings import (
    COMPRESSION_LEVELS,
    MASTER,
    NEUTRAL,
    RANGES,
    Compression,
    EqBand,
    EqType,
    Filter,
    FilterType,
    Mix,
    MixError,
    MixOutOfRangeError,
    Range,
    TargetSettings,
    UnknownTargetError,
)

__all__ = [
    "COMPRESSION_LEVELS",
    "MASTER",
    "NEUTRAL",
    "RANGES",
    "Compression",
    "EqBand",
    "EqType",
    "Filter",
    "FilterType",
    "Mix",
    "MixError",
    "MixOutOfRangeError",
    "Output",
    "OutputKind",
    "Range",
    "TargetSettings",
    "UnknownTargetError",
]

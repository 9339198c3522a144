"""The mix: the complete, non-destructive settings of every target.

The one vocabulary that the interpreter edits, the session stores, the remixer renders and callers
read. Values are frozen and hold no protobuf; `mixdown.mix.protobuf` translates.
"""

from mixdown.mix.mix import Mix
from mixdown.mix.outputs import Output, OutputKind
from mixdown.mix.passages import edited, passage_at
from mixdown.mix.ranges import (
    RANGES,
    MixError,
    MixOutOfRangeError,
    Range,
    UnknownTargetError,
)
from mixdown.mix.settings import (
    COMPRESSION_LEVELS,
    MASTER,
    MAX_EQ_BANDS,
    MAX_PASSAGES,
    NEUTRAL,
    Compression,
    EqBand,
    EqType,
    Filter,
    FilterType,
    Passage,
    TargetSettings,
)

__all__ = [
    "COMPRESSION_LEVELS",
    "MASTER",
    "MAX_EQ_BANDS",
    "MAX_PASSAGES",
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
    "Passage",
    "Range",
    "TargetSettings",
    "UnknownTargetError",
    "edited",
    "passage_at",
]

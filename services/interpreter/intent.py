"""What a prompt means: the one result type of both engines, and the context they read.

Values are frozen and hold no protobuf; `api.py` translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mixdown.mix import MASTER, Compression, EqBand, Filter, FilterType, Mix, Output

FOUR_STEMS = ("vocals", "drums", "bass", "other")

NumberSetting = Literal[
    "gain_db", "pan", "reverb", "pitch_semitones", "echo", "echo_time_ms", "echo_feedback",
    "chorus", "distortion", "width", "fade_in_s", "fade_out_s",
]  # fmt: skip
NUMBER_SETTINGS: tuple[NumberSetting, ...] = get_args(NumberSetting)
Setting = NumberSetting | Literal["muted", "compression", "eq", "filters", "clear"]
SETTINGS: tuple[Setting, ...] = (
    *NUMBER_SETTINGS, "muted", "compression", "eq", "filters", "clear",
)  # fmt: skip

ClarificationReason = Literal[
    "unsupported_stem", "unsupported_operation", "ambiguous", "help", "out_of_scope", "greeting"
]
HistoryAction = Literal["undo", "redo", "reset"]
EngineName = Literal["builtin", "openai"]
ClearedSetting = Literal["all", "eq", "filters", "filter", "eq_band", "passages"]


@dataclass(frozen=True)
class Adjustment:
    """A change of a number: `value` is added where `relative`, otherwise it is the new value."""

    value: float
    relative: bool


@dataclass(frozen=True)
class CompressionChange:
    """A change of the level of compression: the new `level`, or `levels` up or down."""

    level: Compression | None = None
    levels: int = 0


@dataclass(frozen=True)
class Clearing:
    """Settings that go back to neutral.

    Args:
        setting: All settings, every EQ band, every filter, one filter, one EQ band, every passage.
        filter_type: The filter that goes, for "filter".
        frequency_hz: The frequency whose bands go (within a sixth of an octave), for "eq_band".
    """

    setting: ClearedSetting
    filter_type: FilterType | None = None
    frequency_hz: float | None = None


Change = Adjustment | bool | CompressionChange | EqBand | Filter | Clearing


@dataclass(frozen=True)
class TimeRange:
    """A stretch of the track, in seconds; it ends with the track where `end_s` is None."""

    start_s: float
    end_s: float | None = None


@dataclass(frozen=True)
class Edit:
    """A change of one setting of one target.

    The type of `change` follows `setting`: Adjustment for numbers, bool for "muted", and so on.
    `range` is where it holds; None: everywhere.
    """

    target: str
    setting: Setting
    change: Change
    range: TimeRange | None = None


@dataclass(frozen=True)
class Separation:
    """Hand out audio as it is: one file per stem, one file of the original minus `without`."""

    stems: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remix:
    """Change the mix and hand out the result: the whole mix, or only the stems in `outputs`."""

    edits: tuple[Edit, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clarification:
    """Nothing is rendered."""

    reason: ClarificationReason


@dataclass(frozen=True)
class History:
    """Undo, redo or reset. `target` is the only target that a reset touches; None means all."""

    action: HistoryAction
    steps: int = 1
    target: str | None = None


Intent = Separation | Remix | Clarification | History


@dataclass(frozen=True)
class Proposal:
    """What a plain "yes" carries out, and the whole mix once it is carried out."""

    intent: Separation | Remix
    mix: Mix


@dataclass(frozen=True)
class Limitation:
    """Something that could not be done as it was said.

    Args:
        kind: "clamped": the nearest allowed value was used; "not_done": a part was left out.
        text: The same for people.
        target: The target it was about; empty where none was named.
        setting: The setting it was about; empty where none was.
        requested: The value asked for, with "clamped".
        used: The value used, with "clamped".
    """

    kind: Literal["clamped", "not_done"]
    text: str
    target: str = ""
    setting: str = ""
    requested: float = 0.0
    used: float = 0.0


@dataclass(frozen=True)
class Exchange:
    """An earlier turn. `intent` is None where only its words are known."""

    prompt: str
    kind: Literal["separation", "remix", "clarification", "history"]
    targets: tuple[str, ...] = ()
    reply: str = ""
    intent: Intent | None = None


@dataclass(frozen=True)
class Context:
    """All that is needed to understand a prompt.

    Args:
        mix: The current mix.
        history: Earlier turns, oldest first.
        proposal: What a plain "yes" carries out now.
        stems: Stems of the model in use.
        undo_mixes: Mixes that undo brings back, nearest first; None where they are not known.
        redo_mixes: Mixes that redo brings back, nearest first; None where they are not known.
        track_seconds: How long the track is; None where that is not known.
    """

    mix: Mix = field(default_factory=Mix)
    history: tuple[Exchange, ...] = ()
    proposal: Proposal | None = None
    stems: tuple[str, ...] = FOUR_STEMS
    undo_mixes: tuple[Mix, ...] | None = None
    redo_mixes: tuple[Mix, ...] | None = None
    track_seconds: float | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """All that can be edited: the stems and the master bus."""
        return (*self.stems, MASTER)


@dataclass(frozen=True)
class Interpretation:
    """What a prompt means, with the answer to the user.

    Args:
        intent: What is asked for.
        reply: One or two sentences, with the numbers used.
        mix: The whole mix after this turn.
        proposal: What a plain "yes" in the next turn carries out.
        limitations: What could not be done as it was said.
        targets: Targets that the turn touches or speaks of.
        engine: The engine that answered.
        confidence: How sure it is, 0 to 1.
        fallback_reason: Why the language model did not answer, where it was meant to.
        nothing_to_render: True where a history intent has nothing to bring back.
    """

    intent: Intent
    reply: str
    mix: Mix
    proposal: Proposal | None = None
    limitations: tuple[Limitation, ...] = ()
    targets: tuple[str, ...] = ()
    engine: EngineName = "builtin"
    confidence: float = 1.0
    fallback_reason: str = ""
    nothing_to_render: bool = False

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Files to render; none for a clarification."""
        return () if self.nothing_to_render else outputs_of(self.intent)


def outputs_of(intent: Intent) -> tuple[Output, ...]:
    """Returns the files that an intent hands out."""
    match intent:
        case Separation(stems, without):
            files = tuple(Output("stem", (stem,)) for stem in stems)
            return (*files, Output("without", without)) if without else files
        case Remix(_, outputs) if outputs:
            return tuple(Output("stem", (stem,)) for stem in outputs)
        case Remix() | History():
            return (Output("mix"),)
        case Clarification():
            return ()


def kind_of(intent: Intent) -> Literal["separation", "remix", "clarification", "history"]:
    """Returns the name of an intent's kind, as in the golden cases."""
    kinds: Mapping[type, Literal["separation", "remix", "clarification", "history"]] = {
        Separation: "separation",
        Remix: "remix",
        Clarification: "clarification",
        History: "history",
    }
    return kinds[type(intent)]

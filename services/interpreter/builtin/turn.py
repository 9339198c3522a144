"""One turn while it is being understood: what was found so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mixdown.mix import MASTER, Mix
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.conversation import Conversation
from services.interpreter.builtin.named import Instrument
from services.interpreter.edits import apply_edits
from services.interpreter.intent import Context, Edit, History, Limitation, TimeRange


@dataclass(frozen=True)
class Held:
    """An instruction for an instrument that no stem stands for."""

    instrument: Instrument
    clause: Clause


@dataclass
class Turn:
    """What a prompt was found to ask for, clause by clause.

    Args:
        context: The context of the prompt.
        conversation: The turns before.
        mix: The mix after the edits found so far.
        edits: Edits, in order.
        stems: Stems to hand out as they are.
        unneeded: Those of `without` of which it was only said that they are not needed.
        without: Stems that the original is handed out without.
        outputs: Stems to hand out with their settings.
        listened: Those of `stems` that somebody only wants to hear.
        renders_mix: Whether the whole mix is asked for without a change.
        history: An undo, redo or reset.
        held: Instructions for instruments that no stem stands for.
        not_done: Operations that Mixdown does not have.
        questions: What has to be asked.
        doubts: Clauses that look like instructions and were not understood.
        blocked: What has to be asked before anything of the prompt is carried out.
        unsure: Words in which something to carry out was found, but which may not ask for it.
        idle: Targets that were named without a word on what to do with them.
        cued: Whether what is to be done belongs to a part of the song ("in the chorus, …").
        limitations: What was clamped or left out.
        acted: The clauses that asked for something, in order.
        named: Targets named in this prompt, in order.
        last_named: Targets of the latest clause that named any.
        mentioned: Stems that were only spoken of ("I love the drums").
        praised: Whether something was only praised.
        revises: Whether the latest change itself was revised ("the other way").
        leaves: Whether something is to be left alone.
        kept: Stems that are to be left alone.
        keeps_mix: Whether the mix as it is now is to stay ("keep that, but …").
        confidence: How sure this understanding is.
        range: The stretch of the track that the clause being read is about; None for all of it.
    """

    context: Context
    conversation: Conversation
    mix: Mix
    edits: list[Edit] = field(default_factory=list)
    stems: list[str] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    listened: list[str] = field(default_factory=list)
    renders_mix: bool = False
    history: History | None = None
    held: list[Held] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    blocked: str = ""
    unsure: str = ""
    idle: tuple[str, ...] = ()
    cued: bool = False
    limitations: list[Limitation] = field(default_factory=list)
    acted: list[Clause] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    last_named: tuple[str, ...] = ()
    mentioned: tuple[str, ...] = ()
    praised: bool = False
    revises: bool = False
    leaves: bool = False
    kept: tuple[str, ...] = ()
    keeps_mix: bool = False
    confidence: float = 1.0
    range: TimeRange | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing to carry out was found."""
        return not (
            self.edits
            or self.stems
            or self.without
            or self.outputs
            or self.renders_mix
            or self.history
        )

    @property
    def found(self) -> tuple[object, ...]:
        """How much was found to carry out, which only grows."""
        found = (len(self.edits), len(self.stems), len(self.without), len(self.outputs))
        return (*found, self.renders_mix, self.history)

    def add_edits(self, edits: Iterable[Edit]) -> None:
        """Adds edits, in the stretch that is spoken of, and applies them."""
        found = [edit if edit.range else replace(edit, range=self.range) for edit in edits]
        applied = apply_edits(self.mix, found)
        self.edits += found
        self.mix = applied.mix
        self.limitations += applied.limitations

    def name(self, targets: Iterable[str]) -> None:
        """Remembers targets for "it" and "them"."""
        found = tuple(targets)
        if not found:
            return
        self.last_named = found
        for target in found:
            if target not in self.named:
                self.named.append(target)

    def hand_stems(self, stems: tuple[str, ...]) -> None:
        """Hands out stems as they are."""
        self.stems += [stem for stem in stems if stem not in self.stems]
        self.name(stems)

    def hand_without(self, stems: tuple[str, ...]) -> None:
        """Hands out the original without some stems."""
        self.without += [stem for stem in stems if stem not in self.without]
        self.name(stems)
        # What follows is about the song that is left: "karaoke version but 2 semitones lower".
        self.last_named = (MASTER,)

    def mention(self, stems: tuple[str, ...]) -> None:
        """Remembers stems that a clause only spoke of, for "it" and for commands that name none."""
        self.mentioned = stems or self.mentioned

    def everything_but(self, excluded: Iterable[str]) -> tuple[str, ...]:
        """Returns all stems but some."""
        left_out = set(excluded)
        return tuple(stem for stem in self.context.stems if stem not in left_out)

    def last_edits(self) -> list[Edit]:
        """Returns the latest edits that belong to one target."""
        last = self.edits[-1].target
        found: list[Edit] = []
        for edit in reversed(self.edits):
            if edit.target != last:
                break
            found.insert(0, edit)
        return found

    @property
    def spoken_stems(self) -> list[str]:
        """Stems named in this prompt."""
        return [target for target in self.named if target != MASTER]

    def doubt(self, factor: float) -> None:
        """Lowers the confidence."""
        self.confidence *= factor

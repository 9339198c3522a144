"""Shows turns in a terminal: the reply, how far the work is, the files."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mixdown.conversation.v1 import conversation_pb2
from mixdown.turns import Turn

_STAGES = {
    conversation_pb2.Progress.STAGE_INTERPRETING: "understanding",
    conversation_pb2.Progress.STAGE_QUEUED: "waiting",
    conversation_pb2.Progress.STAGE_SEPARATING: "separating",
    conversation_pb2.Progress.STAGE_RENDERING: "rendering",
}
_WAITING = {conversation_pb2.Progress.STAGE_QUEUED, conversation_pb2.Progress.STAGE_WAITING}


class Bar:
    """One bar of progress; a context manager. Gone once the work is done."""

    def __init__(self, console: Console, label: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task(label, total=1.0)

    def show(self, label: str, fraction: float) -> None:
        """Shows how far the work is, 0 to 1."""
        self._progress.update(self._task, description=label, completed=fraction)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


class TurnView:
    """Shows the events of a turn as they come, and what came of it."""

    def __init__(self, console: Console, bar: Bar) -> None:
        self._console = console
        self._bar = bar

    def add(self, event: conversation_pb2.TurnEvent) -> None:
        """Shows an event."""
        match event.WhichOneof("event"):
            case "interpreted":
                self._console.print(f"[bold]mixdown[/] {escape(event.interpreted.reply)}")
            case "progress":
                progress = event.progress
                label = _STAGES.get(progress.stage, "working")
                if progress.stage in _WAITING:
                    label = f"waiting ({progress.queue_position} ahead)"
                self._bar.show(label, progress.fraction)

    def finish(self, turn: Turn) -> None:
        """Shows what came of the turn."""
        for file in turn.files:
            size = decimal(file.artifact.blob.size_bytes)
            self._console.print(f"  [green]{escape(_shown(file.path))}[/] ({size})")
            if file.artifact.clipped_samples:
                self._console.print(
                    f"  [yellow]{file.artifact.clipped_samples} samples clipped; "
                    "a float WAV holds them[/]"
                )
        for note in turn.notes:
            self._console.print(f"  [dim]{escape(note)}[/]")


def _shown(path: Path | None) -> str:
    if path is None:
        return ""
    here = Path.cwd()
    resolved = path.resolve()
    return str(resolved.relative_to(here) if resolved.is_relative_to(here) else resolved)

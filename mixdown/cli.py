"""The `mixdown` command: run the suite on this machine, and talk to songs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import math
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from mixdown.audio.v1 import audio_pb2
from mixdown.client import Client, connect
from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import MixdownError, NotReachableError
from mixdown.gateway.v1 import gateway_pb2
from mixdown.talking import Session
from mixdown.terminal import Bar, TurnView
from mixdown.turns import Turn, failure

_T = TypeVar("_T")

app = typer.Typer(
    help="Upload a song and talk to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)

_FORMATS = {
    "auto": audio_pb2.ENCODING_UNSPECIFIED,
    "wav16": audio_pb2.ENCODING_WAV_PCM16,
    "wav24": audio_pb2.ENCODING_WAV_PCM24,
    "wav32": audio_pb2.ENCODING_WAV_FLOAT32,
    "flac16": audio_pb2.ENCODING_FLAC16,
    "flac": audio_pb2.ENCODING_FLAC24,
    "mp3": audio_pb2.ENCODING_MP3,
    "ogg": audio_pb2.ENCODING_OGG_VORBIS,
    "opus": audio_pb2.ENCODING_OGG_OPUS,
    "m4a": audio_pb2.ENCODING_M4A_AAC,
}
_GOODBYES = {"exit", "quit", ":q"}
_PARTING_SECONDS = 5.0
"""How long a command that was interrupted tries to say so to a gateway that does not answer."""


Song = Annotated[Path, typer.Argument(help="The song: any audio file.")]
Address = Annotated[
    str, typer.Option(envvar="MIXDOWN_ADDRESS", help="Where Mixdown listens, host:port.")
]
Model = Annotated[str, typer.Option(help="The separation model; by default the server's.")]
Format = Annotated[
    str, typer.Option("--format", help=f"Format of the files: {', '.join(_FORMATS)}.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder for the files.")]

_DEFAULT_ADDRESS = "127.0.0.1:8080"
_DEFAULT_OUTPUT = Path("out")


@app.command()
def up(
    port: Annotated[int, typer.Option(help="The port for callers; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="The address for callers.")] = "127.0.0.1",
    data_folder: Annotated[
        Path | None, typer.Option(help="Where everything is kept; by default below the home.")
    ] = None,
    jwks: Annotated[
        Path | None, typer.Option(help="Public keys of those who issue tokens (a JWKS file).")
    ] = None,
    issuer: Annotated[str, typer.Option(help="The issuer whose tokens are accepted.")] = "",
    audience: Annotated[str, typer.Option(help="The audience that tokens must name.")] = "",
    development: Annotated[
        bool,
        typer.Option("--development", help="Ask for no tokens though others reach the address."),
    ] = False,
    calls_at_once: Annotated[
        int, typer.Option(min=1, help="Calls that one user may make at once.")
    ] = 200,
    calls_per_second: Annotated[
        int, typer.Option(min=1, help="Calls that one user may make in every second.")
    ] = 50,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may call; as often as needed.")
    ] = None,
) -> None:
    """Run the five services and Envoy on this machine, until Ctrl-C."""
    # What callers install does not hold the services; where they are, they run in our place.
    if not _is_installed("services.local") or not _is_installed("honcho"):
        _fail("the services are not installed: pip install 'mixdown[local]'")
    command = [sys.executable, "-m", "services.local", "--host", host, "--port", str(port)]
    command += ["--calls-at-once", str(calls_at_once)]
    command += ["--calls-per-second", str(calls_per_second)]
    for option, value in (
        ("--data-folder", data_folder),
        ("--jwks", jwks),
        ("--issuer", issuer),
        ("--audience", audience),
        *(("--cors-origin", origin) for origin in cors_origin or ()),
    ):
        if value:
            command += [option, str(value)]
    if development:
        command.append("--development")
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own program


@app.command()
def ask(
    song: Song,
    prompt: Annotated[str, typer.Argument(help="What you want, in plain words.")],
    output: Output = _DEFAULT_OUTPUT,
    address: Address = _DEFAULT_ADDRESS,
    model: Model = "",
    file_format: Format = "auto",
) -> None:
    """Say one thing to a song, and get the files."""
    encoding = _encoding(file_format)

    async def work() -> None:
        async with _opened_session(address, song, model) as (client, session):
            await _take_turn(client, session, prompt, output, encoding)

    _run(work())


@app.command()
def talk(
    song: Song,
    output: Output = _DEFAULT_OUTPUT,
    address: Address = _DEFAULT_ADDRESS,
    model: Model = "",
    file_format: Format = "auto",
) -> None:
    """Talk to a song: a chat in the terminal. `exit` ends it, Ctrl-C cancels a turn."""
    encoding = _encoding(file_format)
    # The loop stands still while we wait for the next words, so that Ctrl-C is heard there too.
    with _told_errors(), asyncio.Runner() as runner:
        client = runner.run(_opened(address))
        try:
            session = runner.run(_open_session(client, song, model))
            _console.print("Say what you want to hear. [dim]exit ends the conversation.[/]")
            for number in itertools.count(1):
                prompt = _read_prompt()
                if prompt is None:
                    break
                folder = output / f"{number:02d}"
                _say(runner, _take_turn(client, session, prompt, folder, encoding))
        finally:
            runner.run(client.close())


@app.command()
def separate(
    song: Song,
    stems: Annotated[list[str] | None, typer.Argument(help="Stems, a file for each.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="One file without this stem; as often as needed.")
    ] = None,
    output: Output = _DEFAULT_OUTPUT,
    address: Address = _DEFAULT_ADDRESS,
    model: Model = "",
    file_format: Format = "auto",
) -> None:
    """Get stems of a song, without words."""
    encoding = _encoding(file_format)

    async def work() -> None:
        async with _opened_session(address, song, model) as (_, session):
            with Bar(_console, "separating") as bar:
                view = TurnView(_console, bar)
                turn = await session.separate(
                    stems or (),
                    without=without or (),
                    folder=output,
                    encoding=encoding,
                    on_event=view.add,
                )
            view.finish(turn)

    _run(work())


@app.command()
def batch(
    prompt: Annotated[str, typer.Argument(help="What you want of each, in plain words.")],
    songs: Annotated[list[Path], typer.Argument(help="The songs: any audio files.")],
    output: Output = _DEFAULT_OUTPUT,
    address: Address = _DEFAULT_ADDRESS,
    model: Model = "",
    file_format: Format = "auto",
) -> None:
    """Say one thing to many songs, and get the files: a folder for each song."""
    encoding = _encoding(file_format)

    async def work() -> bool:
        async with _connect(address) as client:
            tracks = [await client.upload(song) for song in songs]
            begun = await client.ask_all(prompt, tracks, model=model, encoding=encoding)
            complete = True
            for number, (song, item) in enumerate(zip(songs, begun, strict=True), 1):
                _console.print(f"[bold]{escape(song.name)}[/]")
                folder = output / f"{number:02d} {song.stem}"
                try:
                    await _fetch_turn(client, item, folder)
                except MixdownError as error:
                    complete = False
                    _tell(error)
            return complete

    if not _run(work()):
        raise typer.Exit(1)


async def _fetch_turn(client: Client, item: gateway_pb2.BatchedTurn, folder: Path) -> None:
    if item.HasField("error"):
        raise failure(item.error)
    with Bar(_console, "waiting") as bar:
        view = TurnView(_console, bar)
        turn = await client.wait_for(item.turn.turn_id, folder=folder, on_event=view.add)
    view.finish(turn)


def _say(runner: asyncio.Runner, turn: Coroutine[Any, Any, Turn]) -> None:
    """Takes a turn of a conversation, which goes on whatever comes of it."""
    try:
        runner.run(turn)
    except KeyboardInterrupt:
        _console.print("[yellow]cancelled[/]")
    except NotReachableError:
        raise
    except MixdownError as error:
        _tell(error)


async def _opened(address: str) -> Client:
    return _connect(address)  # a connection belongs to the loop that runs when it is made


def _connect(address: str) -> Client:
    # Not an option: what stands on a command line, everybody on the machine can read.
    return connect(address, token=os.environ.get("MIXDOWN_TOKEN"))


@contextlib.asynccontextmanager
async def _opened_session(
    address: str, song: Path, model: str
) -> AsyncIterator[tuple[Client, Session]]:
    async with _connect(address) as client:
        yield client, await _open_session(client, song, model)


async def _open_session(client: Client, song: Path, model: str) -> Session:
    # Before a long upload: is anybody there?
    await client.capabilities()
    with Bar(_console, "uploading") as bar:
        track = await client.upload(
            song, progress=lambda sent, size: bar.show("uploading", sent / size)
        )
    seconds = track.audio.frames / track.audio.sample_rate_hz
    _console.print(
        f"[bold]{escape(track.display_name)}[/] "
        f"[dim]{int(seconds // 60)}:{seconds % 60:04.1f}, {track.audio.sample_rate_hz} Hz, "
        f"{'stereo' if track.audio.channels == 2 else 'mono'}[/]"
    )
    return await client.create_session(track, model=model)


async def _take_turn(
    client: Client,
    session: Session,
    prompt: str,
    folder: Path,
    encoding: audio_pb2.Encoding.ValueType,
) -> Turn:
    turn_id = ""
    with Bar(_console, "understanding") as bar:
        view = TurnView(_console, bar)

        def show(event: conversation_pb2.TurnEvent) -> None:
            nonlocal turn_id
            turn_id = event.turn_id
            view.add(event)

        try:
            turn = await session.ask(prompt, folder=folder, encoding=encoding, on_event=show)
        except asyncio.CancelledError:
            if turn_id:  # nobody waits for it any more, nor long for this to be said
                with contextlib.suppress(MixdownError, TimeoutError):
                    async with asyncio.timeout(_PARTING_SECONDS):
                        await client.cancel(turn_id)
            raise
    view.finish(turn)
    return turn


def _read_prompt() -> str | None:
    """Returns what is said next; None at the end of the conversation."""
    while True:
        try:
            prompt = _console.input("[bold cyan]you[/]     ").strip()
        except EOFError:
            return None
        if prompt.lower() in _GOODBYES:
            return None
        if prompt:
            return prompt


def _encoding(name: str) -> audio_pb2.Encoding.ValueType:
    if name not in _FORMATS:
        _fail(f"there is no format {name!r}: there are {', '.join(_FORMATS)}")
    return _FORMATS[name]


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Does all of a command's work; what goes wrong ends it with one line."""
    with _told_errors():
        return asyncio.run(work)


@contextlib.contextmanager
def _told_errors() -> Iterator[None]:
    """Makes of what goes wrong one line and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except NotReachableError as error:
        _fail(f"{error.message} Start it with `mixdown up`, or say where it is with --address.")
    except MixdownError as error:
        _errors.print(f"[red]mixdown:[/] {escape(error.message)} ({error.reason})")
        _tell_more(error)
        raise typer.Exit(1) from None
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _tell(error: MixdownError) -> None:
    _errors.print(f"[red]{escape(error.message)}[/] [dim]{error.reason}[/]")
    _tell_more(error)


def _tell_more(error: MixdownError) -> None:
    """Says which quotas are used up, and when to come again."""
    for violation in error.violations:
        _errors.print(f"  [dim]{escape(violation)}[/]")
    if error.retry_after_seconds:
        _errors.print(f"  [dim]Try again in {_spoken(error.retry_after_seconds)}.[/]")


def _spoken(seconds: float) -> str:
    minutes = seconds / 60
    if minutes >= 90:
        return f"{minutes / 60:.0f} hours"
    return f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{math.ceil(seconds)} s"


def _fail(message: str) -> NoReturn:
    _errors.print(f"[red]mixdown:[/] {escape(message)}")
    raise typer.Exit(1)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


if __name__ == "__main__":
    app()

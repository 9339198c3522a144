"""The `mixdown` command against a gateway: files, exit statuses, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.gateway.conftest import (
    GATEWAY,
    GATEWAY_SETTINGS,
    Suite,
    eventually,
    noise_wav,
)
from tests.patience import PATIENCE_SECONDS

MIXDOWN = Path(sys.executable).with_name("mixdown")


@pytest.fixture(scope="module")
def address(suite: Suite):
    """A gateway in development mode: its callers need no identity."""
    name = "gateway-development"
    suite.start(name, GATEWAY, **GATEWAY_SETTINGS, MIXDOWN_DEVELOPMENT_USER="local")
    suite.wait(name)
    yield suite.address(name)
    suite.processes.pop(name).terminate()
    del suite.ports[name]


def run(*arguments, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MIXDOWN, *arguments], capture_output=True, text=True, check=False, **options
    )


def test_ask_writes_the_files_and_says_the_reply(address, song, tmp_path):
    outcome = run(
        *("ask", song, "only the vocals", "--address", address),
        *("-o", tmp_path / "out", "--format", "wav16"),
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "mixdown " in outcome.stdout
    assert "my song - vocals.wav" in outcome.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["my song - vocals.wav"]


def test_the_address_may_come_from_the_environment(address, song, tmp_path):
    outcome = run(
        *("ask", song, "only the vocals", "-o", tmp_path),
        env={**os.environ, "MIXDOWN_ADDRESS": address},
    )
    assert outcome.returncode == 0, outcome.stderr


def test_separate_writes_stems_and_what_is_without_them(address, song, tmp_path):
    outcome = run(
        *("separate", song, "drums", "bass", "--without", "drums", "--without", "bass"),
        *("--address", address, "-o", tmp_path),
    )
    assert outcome.returncode == 0, outcome.stderr
    names = {f"my song - {name}.wav" for name in ("drums", "bass", "without-drums-bass")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_separate_says_which_stems_there_are(address, song, tmp_path):
    outcome = run("separate", song, "theremin", "--address", address, "-o", tmp_path)
    assert outcome.returncode == 1
    assert "vocals" in outcome.stderr
    assert "UNKNOWN_STEM" in outcome.stderr


def test_batch_writes_a_folder_for_each_song(address, song, tmp_path):
    other = tmp_path / "other.wav"
    other.write_bytes(noise_wav(1.0, seed=9))
    outcome = run(
        *("batch", "only the vocals", song, other),
        *("--address", address, "-o", tmp_path / "out"),
    )
    assert outcome.returncode == 0, outcome.stderr
    found = (tmp_path / "out").rglob("*.wav")
    assert {str(path.relative_to(tmp_path / "out")) for path in found} == {
        "01 my song/my song - vocals.wav",
        "02 other/other - vocals.wav",
    }


def test_batch_tells_of_each_song_that_failed_and_exits_with_1(address, song, tmp_path):
    outcome = run(
        *("batch", "only the vocals", song, "--model", "full"),
        *("--address", address, "-o", tmp_path / "out"),
    )
    assert outcome.returncode == 1
    assert "QUEUE_FULL" in outcome.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.wav"))


def test_talk_keeps_a_conversation_and_a_folder_for_each_turn(address, song, tmp_path):
    outcome = run(
        *("talk", song, "--address", address, "-o", tmp_path),
        input="only the vocals\n\nmake the vocals 3 dB louder\nexit\n",
    )
    assert outcome.returncode == 0, outcome.stderr
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.wav")) == [
        "01/my song - vocals.wav",
        "02/my song - mix.wav",
    ]


def test_a_failed_turn_ends_ask_and_not_talk(address, song, tmp_path):
    common = ("--address", address, "--model", "full", "-o", tmp_path)
    asked = run("ask", song, "only the vocals", *common)
    assert asked.returncode == 1
    assert "QUEUE_FULL" in asked.stderr
    talked = run("talk", song, *common, input="only the vocals\nhello\nexit\n")
    assert talked.returncode == 0
    assert "QUEUE_FULL" in talked.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no such file.wav", "only the vocals"), "no such file.wav"),
        (("SONG", "only the vocals", "--model", "nonsense"), "UNKNOWN_MODEL"),
        (("SONG", "only the vocals", "--format", "midi"), "no format 'midi'"),
        (("SONG", " "), "PROMPT_EMPTY"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_status(
    address, song, tmp_path, arguments, words
):
    named = [song if argument == "SONG" else argument for argument in arguments]
    outcome = run("ask", *named, "--address", address, "-o", tmp_path)
    assert outcome.returncode == 1
    assert words in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def stuck_turn(suite: Suite, address: str, song: Path, folder: Path) -> subprocess.Popen[str]:
    """A command whose turn has begun and gets nowhere."""
    assert eventually(lambda: suite.separations() == 0)  # nothing is left of tests before
    process = subprocess.Popen(
        [
            *(MIXDOWN, "ask", song, "only the vocals", "--address", address),
            *("--model", "stuck", "-o", folder),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    assert eventually(lambda: suite.separations() == 1)
    time.sleep(0.5)
    return process


def interrupt(process: subprocess.Popen[str]) -> str:
    """Presses Ctrl-C and returns what the command complains of; tells where one hangs."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=PATIENCE_SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        raise AssertionError(process.communicate()[1]) from None


def test_ctrl_c_cancels_the_turn_and_leaves_nothing(suite: Suite, address, song, tmp_path):
    process = stuck_turn(suite, address, song, tmp_path)
    complaint = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert list(tmp_path.iterdir()) == []
    assert eventually(lambda: suite.separations() == 0)
    assert eventually(lambda: not list(suite.partial.iterdir()))


def test_ctrl_c_ends_a_command_that_nobody_answers(suite: Suite, address, song, tmp_path):
    process = stuck_turn(suite, address, song, tmp_path)
    suite.processes["gateway-development"].send_signal(signal.SIGSTOP)
    try:
        complaint = interrupt(process)
    finally:
        suite.processes["gateway-development"].send_signal(signal.SIGCONT)
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert list(tmp_path.iterdir()) == []
    assert eventually(lambda: suite.separations() == 0)

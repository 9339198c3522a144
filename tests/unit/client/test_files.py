"""Files are shown under their names once they are whole and right, and not before."""

import hashlib

import pytest

from mixdown import DamagedFileError
from mixdown.conversation.v1 import conversation_pb2
from mixdown.files import FolderWriter


def events_of(data: bytes, sha256: str, file_name: str = "mix.wav"):
    artifact = conversation_pb2.Artifact(name="mix")
    artifact.blob.sha256 = sha256
    started = conversation_pb2.OutputStarted(name="mix", file_name=file_name)
    audio = conversation_pb2.Audio(name="mix", data=data)
    finished = conversation_pb2.OutputFinished(artifact=artifact)
    return [
        conversation_pb2.TurnEvent(output_started=started),
        conversation_pb2.TurnEvent(audio=audio),
        conversation_pb2.TurnEvent(output_finished=finished),
    ]


def test_a_whole_file_lies_under_its_name(tmp_path):
    with FolderWriter(tmp_path / "out") as writer:
        for event in events_of(b"data", hashlib.sha256(b"data").hexdigest()):
            writer.add(event)
    assert [file.path for file in writer.files] == [tmp_path / "out" / "mix.wav"]
    assert (tmp_path / "out" / "mix.wav").read_bytes() == b"data"


def test_a_file_that_arrives_damaged_is_not_shown(tmp_path):
    with FolderWriter(tmp_path / "out") as writer, pytest.raises(DamagedFileError):
        for event in events_of(b"data", "0" * 64):
            writer.add(event)
    assert list(tmp_path.iterdir()) == []


def test_half_a_file_is_removed(tmp_path):
    with FolderWriter(tmp_path / "out") as writer:
        for event in events_of(b"data", "")[:2]:
            writer.add(event)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path):
    with FolderWriter(tmp_path) as writer:
        for event in events_of(b"data", "")[:2]:
            writer.add(event)
    assert tmp_path.exists()


def test_a_name_that_is_a_path_stays_in_the_folder(tmp_path):
    sha256 = hashlib.sha256(b"data").hexdigest()
    with FolderWriter(tmp_path / "out") as writer:
        for event in events_of(b"data", sha256, "../../etc/mix.wav"):
            writer.add(event)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [file.path for file in writer.files] == [tmp_path / "out" / "mix.wav"]

"""Whoever has `curl` and nothing else can do the main job."""

import base64
import hashlib
import json
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import grpc
import pytest

from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from tests.integration.edge.conftest import Edge
from tests.integration.gateway.conftest import noise_wav

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


class Curl:
    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.token = edge.token()

    def __call__(self, path: str, *arguments: str | Path, said: object = None) -> tuple[int, bytes]:
        if said is not None:
            arguments = (*arguments, "-H", "content-type: application/json", "-d", json.dumps(said))
        outcome = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--max-time", "60"),
                *("-H", f"authorization: Bearer {self.token}"),
                *("-w", "\n%{http_code}", *arguments, self.edge.url + path),
            ],
            capture_output=True,
            check=True,
        )
        body, _, status = outcome.stdout.rpartition(b"\n")
        return int(status), body

    def json(self, path: str, *arguments: str | Path, said: object = None) -> dict:
        status, body = self(path, *arguments, said=said)
        assert status == 200, body
        return json.loads(body)

    def refused(self, path: str, *arguments: str | Path, said: object = None) -> tuple[int, str]:
        """Returns the HTTP status and the reason."""
        status, body = self(path, *arguments, said=said)
        return status, json.loads(body)["details"][0]["reason"]


@pytest.fixture
def curl(edge: Edge) -> Curl:
    return Curl(edge)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "my song.wav"
    path.write_bytes(noise_wav())
    return path


def upload_path(upload_id: str, size: int, offset: int = 0) -> str:
    query = f"displayName=my%20song.wav&totalSizeBytes={size}&offsetBytes={offset}"
    return f"/v1/uploads/{upload_id}?{query}"


def upload(curl: Curl, song: Path) -> dict:
    return curl.json(upload_path(uuid.uuid4().hex, song.stat().st_size), "-T", song)


def test_upload_prompt_download(curl, song, tmp_path):
    track = upload(curl, song)
    assert track["displayName"] == "my song.wav"
    assert track["blob"]["sha256"] == hashlib.sha256(song.read_bytes()).hexdigest()
    session = curl.json("/v1/sessions", said={"trackId": track["trackId"]})

    said = {"prompt": "only the vocals", "delivery": "DELIVERY_EVENTS_ONLY"}
    status, body = curl(f"/v1/sessions/{session['sessionId']}:converse", said=said)
    assert status == 200
    events = [json.loads(line) for line in body.splitlines()]
    assert "accepted" in events[0]
    assert "completed" in events[-1]
    (artifact,) = (
        event["outputFinished"]["artifact"] for event in events if "outputFinished" in event
    )

    target = tmp_path / "vocals.wav"
    headers = tmp_path / "headers"
    path = f"/v1/artifacts/{artifact['artifactId']}/file"
    assert curl(path, "-o", target, "-D", headers)[0] == 200
    assert hashlib.sha256(target.read_bytes()).hexdigest() == artifact["blob"]["sha256"]
    assert f"content-type: {artifact['mediaType']}" in headers.read_text()
    # From an offset on, as a download that broke goes on.
    assert curl(f"{path}?offsetBytes=1000")[1] == target.read_bytes()[1000:]
    assert curl(f"{path}?offsetBytes={target.stat().st_size}") == (200, b"")


def test_audio_comes_with_the_events_where_it_is_wanted(curl, song):
    session = curl.json("/v1/sessions", said={"trackId": upload(curl, song)["trackId"]})
    _, body = curl(f"/v1/sessions/{session['sessionId']}:converse", said={"prompt": "drums only"})
    events = [json.loads(line) for line in body.splitlines()]
    audio = b"".join(
        base64.b64decode(event["audio"].get("data", "")) for event in events if "audio" in event
    )
    (artifact,) = (
        event["outputFinished"]["artifact"] for event in events if "outputFinished" in event
    )
    assert hashlib.sha256(audio).hexdigest() == artifact["blob"]["sha256"]


def test_an_upload_that_broke_goes_on(curl, song, tmp_path):
    content = song.read_bytes()
    upload_id = uuid.uuid4().hex
    part = tmp_path / "part"
    part.write_bytes(content[:300_000])
    # Less than was announced: kept, and told.
    path = upload_path(upload_id, len(content))
    assert curl.refused(path, "-T", part) == (409, "OFFSET_MISMATCH")
    assert curl.json(f"/v1/uploads/{upload_id}")["committedSizeBytes"] == "300000"
    part.write_bytes(content[300_000:])
    track = curl.json(upload_path(upload_id, len(content), 300_000), "-T", part)
    assert track["blob"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_resources_are_listed_renamed_and_deleted(curl, song):
    track = upload(curl, song)["trackId"]
    assert [item["trackId"] for item in curl.json("/v1/tracks?pageSize=1")["tracks"]] == [track]
    session = curl.json("/v1/sessions", said={"trackId": track})["sessionId"]
    renamed = curl.json(
        f"/v1/sessions/{session}?updateMask=displayName",
        *("-X", "PATCH"),
        said={"displayName": "Mine"},
    )
    assert renamed["displayName"] == "Mine"
    assert curl.json(f"/v1/sessions?trackId={track}")["sessions"][0]["displayName"] == "Mine"
    assert curl.json(f"/v1/sessions/{session}/mix") == {}
    assert curl.json(f"/v1/sessions/{session}/turns") == {}
    assert curl.json(f"/v1/tracks/{track}", "-X", "DELETE") == {}
    assert curl.refused(f"/v1/sessions/{session}") == (404, "SESSION_NOT_FOUND")


def test_a_session_is_exported_as_one_document(curl, song, tmp_path):
    user = f"user-{uuid.uuid4().hex}"
    curl.token = curl.edge.token(user)
    track = upload(curl, song)
    session = curl.json("/v1/sessions", said={"trackId": track["trackId"]})["sessionId"]
    said = {"prompt": "vocals 3 dB louder", "delivery": "DELIVERY_EVENTS_ONLY"}
    assert curl(f"/v1/sessions/{session}:converse", said=said)[0] == 200
    # What is longer than a piece comes whole, too. (Said at the gateway: Envoy limits the rate.)
    with grpc.insecure_channel(curl.edge.suite.address("gateway")) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        request = gateway_pb2.ConverseRequest(session_id=session, prompt="ж" * 3900)
        for _ in range(35):
            assert list(stub.Converse(request, metadata=(("x-mixdown-user", user),)))
    headers = tmp_path / "headers"
    status, body = curl(f"/v1/sessions/{session}/export", "-D", headers)
    assert status == 200
    assert "content-type: application/json" in headers.read_text()
    document = json.loads(body)
    assert (document["format"], document["version"]) == ("mixdown-session", 1)
    assert document["track"]["blob"]["sha256"] == track["blob"]["sha256"]
    turns = document["turns"]
    assert [turn["ordinal"] for turn in turns] == list(range(1, 37))
    assert turns[0]["mix"] == {"vocals": {"gain_db": 3.0}}
    assert turns[0]["artifacts"][0]["blob"]["size_bytes"] > 0
    assert len(body) > 256 << 10
    assert curl.refused("/v1/sessions/none/export") == (404, "SESSION_NOT_FOUND")
    curl.token = curl.edge.token("somebody-else")
    assert curl.refused(f"/v1/sessions/{session}/export") == (404, "SESSION_NOT_FOUND")


def test_what_is_refused_is_told_in_json(curl, song, tmp_path):
    lyrics = tmp_path / "lyrics.mp3"
    lyrics.write_text("These are words.")
    path = upload_path(uuid.uuid4().hex, lyrics.stat().st_size)
    assert curl.refused(path, "-T", lyrics) == (400, "UNDECODABLE_AUDIO")
    assert curl.refused(upload_path("a", 0), "-T", "/dev/null") == (400, "EMPTY_FILE")
    assert curl.refused("/v1/tracks/none") == (404, "TRACK_NOT_FOUND")
    watch = curl.refused("/v1/turns/none:watch", said={})
    assert watch == (404, "TURN_NOT_FOUND")
    assert curl.refused("/v1/artifacts/none/file") == (404, "ARTIFACT_NOT_FOUND")


def test_a_body_that_is_not_of_the_contract_is_refused(curl):
    assert curl("/v1/sessions", "-H", "content-type: application/json", "-d", "{")[0] == 400
    assert curl("/v1/sessions", said={"trackId": 7.5})[0] == 400
    assert curl("/v1/tracks?pageSize=many")[0] == 400
    assert curl("/v1/tracks?noSuchField=1")[0] == 400
    assert curl("/v1/no-such-thing")[0] == 404


def test_the_edge_refuses_in_json_too(curl):
    good, curl.token = curl.token, curl.edge.token(exp=time.time() - 3600)
    assert curl.refused("/v1/tracks") == (401, "NO_IDENTITY")
    curl.token = good
    status, body = curl("/v1/tracks", "-H", "x-mixdown-user: somebody")
    assert (status, body) == (200, b"{}")

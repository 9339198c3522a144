"""A page in a browser calls by gRPC-Web, from the origins that are allowed."""

import base64
import hashlib
import http.client
import json
import uuid

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from tests.integration.edge.conftest import ORIGIN, Edge
from tests.integration.gateway.conftest import eventually, noise_wav
from tests.patience import PATIENCE_SECONDS

PATH = "/mixdown.gateway.v1.GatewayService/"


def ask(edge: Edge, verb: str, method: str, body: bytes = b"", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=PATIENCE_SECONDS)
    connection.request(
        verb,
        PATH + method,
        body,
        {name.replace("_", "-"): value for name, value in headers.items()},
    )
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def call(edge: Edge, method: str, message, **headers: str) -> tuple[dict[str, str], list[bytes]]:
    """Makes one call; returns what it ends with and the messages."""
    data = message.SerializeToString()
    response, body = ask(
        edge,
        "POST",
        method,
        b"\0" + len(data).to_bytes(4, "big") + data,
        content_type="application/grpc-web+proto",
        x_grpc_web="1",
        origin=ORIGIN,
        **headers,
    )
    assert response.version == 11
    assert response.status == 200
    assert response.headers["content-type"].startswith("application/grpc-web")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    ended = {name.lower(): value for name, value in response.headers.items()}
    messages = []
    while body:
        kind, size = body[0], int.from_bytes(body[1:5], "big")
        frame, body = body[5 : 5 + size], body[5 + size :]
        if kind & 0x80:
            lines = frame.decode().strip().split("\r\n")
            ended |= dict(line.split(":", 1) for line in lines)
        else:
            messages.append(frame)
    return ended, messages


def reason_of(ended: dict[str, str]) -> str:
    encoded = ended["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


def test_a_page_can_call(edge):
    token = edge.token()
    ended, messages = call(
        edge,
        "ListSessions",
        gateway_pb2.ListSessionsRequest(),
        authorization=f"Bearer {token}",
    )
    assert ended["grpc-status"] == "0"
    (message,) = messages
    assert gateway_pb2.ListSessionsResponse.FromString(message) == (
        gateway_pb2.ListSessionsResponse()
    )


def test_a_page_hears_what_it_has_asked_for(edge, tmp_path):
    """The main job by gRPC-Web alone, but for the upload, which browsers send by HTTP."""
    told = {"authorization": f"Bearer {edge.token()}"}
    song = noise_wav(1.0, seed=31)
    path = f"/v1/uploads/{uuid.uuid4().hex}?displayName=song.wav&totalSizeBytes={len(song)}"
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=PATIENCE_SECONDS)
    connection.request("PUT", path, song, {**told, "origin": ORIGIN})
    track_id = json.loads(connection.getresponse().read())["trackId"]
    connection.close()

    request = gateway_pb2.CreateSessionRequest(track_id=track_id)
    _, (message,) = call(edge, "CreateSession", request, **told)
    session = conversation_pb2.Session.FromString(message)
    said = gateway_pb2.ConverseRequest(session_id=session.session_id, prompt="only the vocals")
    ended, messages = call(edge, "Converse", said, **told)
    assert ended["grpc-status"].strip() == "0"
    events = [conversation_pb2.TurnEvent.FromString(message) for message in messages]
    assert events[-1].HasField("completed")
    audio = b"".join(event.audio.data for event in events)
    (artifact,) = (
        event.output_finished.artifact for event in events if event.HasField("output_finished")
    )
    assert hashlib.sha256(audio).hexdigest() == artifact.blob.sha256


def test_what_was_asked_stands_in_the_access_log_and_no_secret(edge):
    token, secret = edge.token(), uuid.uuid4().hex
    request = gateway_pb2.WatchTurnRequest(turn_id=secret)
    call(edge, "WatchTurn", request, authorization=f"Bearer {token}")
    call(edge, "ListSessions", gateway_pb2.ListSessionsRequest(), authorization=f"Bearer {token}")
    log = edge.suite.folder / "edge" / "envoy.log"

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]

    def told() -> set[tuple[object, object]]:
        return {(line["path"], line["grpc_status"]) for line in lines() if "grpc_status" in line}

    assert eventually(
        lambda: {(f"{PATH}WatchTurn", "NOT_FOUND"), (f"{PATH}ListSessions", "OK")} <= told()
    )
    assert {"time", "status", "flags", "milliseconds", "request_id"} <= set(lines()[-1])
    assert token not in log.read_text()
    assert secret not in log.read_text()


def test_a_page_reads_why_a_service_refused(edge):
    request = gateway_pb2.WatchTurnRequest(turn_id="none")  # a call that would stream
    ended, messages = call(edge, "WatchTurn", request, authorization=f"Bearer {edge.token()}")
    assert ended["grpc-status"] == "5"
    assert reason_of(ended) == "TURN_NOT_FOUND"
    assert messages == []


def test_a_page_reads_why_the_edge_refused(edge):
    response, body = ask(
        edge,
        "POST",
        "ListSessions",
        b"\0" * 5,
        content_type="application/grpc-web+proto",
        origin=ORIGIN,
    )
    assert response.status == 401
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert reason_of(dict(response.headers)) == "NO_IDENTITY"
    status = json_format.Parse(body, status_pb2.Status())
    assert status.code == 16
    assert status.details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR)


def test_a_browser_may_ask_first_without_a_token(edge):
    response, _ = ask(
        edge,
        "OPTIONS",
        "ListSessions",
        origin=ORIGIN,
        access_control_request_method="POST",
        access_control_request_headers="authorization,content-type,x-grpc-web",
    )
    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in response.headers["access-control-allow-headers"]
    assert "POST" in response.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "https://appXexample.com", ORIGIN + ".evil.com", "null"]
)
def test_pages_of_other_origins_are_not_let_in(edge, origin):
    response, _ = ask(
        edge, "OPTIONS", "ListSessions", origin=origin, access_control_request_method="POST"
    )
    assert "access-control-allow-origin" not in response.headers

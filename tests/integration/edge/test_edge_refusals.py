"""Every refusal reads alike, whoever says it and whichever way it was asked."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

import mixdown
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from services.local.envoy import EnvoySettings
from services.local.suite import SERVICES
from services.runtime.channels import OPTIONS
from tests.integration.edge.conftest import running_envoy
from tests.integration.gateway.conftest import eventually, free_port
from tests.patience import PATIENCE_SECONDS

Code = grpc.StatusCode
IDLE_SECONDS = 1
CONNECTIONS = 40
QUOTA = status_pb2.Status(code=Code.RESOURCE_EXHAUSTED.value[0], message="Enough for today.")
for detail in (
    error_details_pb2.ErrorInfo(reason="QUOTA_EXCEEDED", domain="mixdown"),
    error_details_pb2.QuotaFailure(
        violations=[{"subject": "user", "description": "3 turns at once"}]
    ),
    error_details_pb2.RetryInfo(retry_delay={"seconds": 3}),
):
    QUOTA.details.add().Pack(detail)


class Gateway(gateway_pb2_grpc.GatewayServiceServicer):
    """Refuses tracks for a quota, and takes uploads."""

    def GetTrack(self, request, context):
        context.abort_with_status(rpc_status.to_status(QUOTA))

    def Converse(self, request, context):
        context.abort_with_status(rpc_status.to_status(QUOTA))
        yield conversation_pb2.TurnEvent()

    def UploadTrack(self, request_iterator, context):
        for _ in request_iterator:
            pass
        return conversation_pb2.Track()

    def UploadTrackFile(self, request_iterator, context):
        return self.UploadTrack(request_iterator, context)


@pytest.fixture(scope="module")
def gateway_port() -> Iterator[int]:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=OPTIONS)
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(Gateway(), server)
    alive = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(alive, server)
    alive.set("mixdown.gateway.v1.GatewayService", health_pb2.HealthCheckResponse.SERVING)
    found = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found
    server.stop(0)


def settings_for(gateway_port: int, folder: Path) -> EnvoySettings:
    return EnvoySettings(
        address="127.0.0.1",
        port=free_port(),
        internal_port=free_port(),
        admin_port=free_port(),
        ports=dict.fromkeys(SERVICES, gateway_port),
        folder=folder,
    )


@pytest.fixture(scope="module")
def port(gateway_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    def have_little_room(config: dict[str, Any]) -> None:
        (monitor,) = config["overload_manager"]["resource_monitors"]
        monitor["typed_config"]["max_active_downstream_connections"] = CONNECTIONS

    settings = settings_for(gateway_port, tmp_path_factory.mktemp("refusals"))
    with running_envoy(settings, have_little_room):
        yield settings.port


@pytest.fixture(scope="module")
def impatient_port(gateway_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Another Envoy, which ends what is idle for a second, as anything may be by chance."""

    def be_impatient(config: dict[str, Any]) -> None:
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
        manager["typed_config"]["stream_idle_timeout"] = f"{IDLE_SECONDS}s"

    settings = settings_for(gateway_port, tmp_path_factory.mktemp("impatient"))
    with running_envoy(settings, be_impatient):
        yield settings.port


@pytest.fixture
def stub(port: int) -> Iterator[gateway_pb2_grpc.GatewayServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield gateway_pb2_grpc.GatewayServiceStub(channel)


def ask(port: int, verb: str, path: str, body: bytes = b"", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    connection.request(
        verb, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def ask_json(port: int, verb: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    response, data = ask(port, verb, path, body, content_type="application/json")
    assert response.headers["content-type"] == "application/json"
    return response.status, json.loads(data)


def check_quota(status: status_pb2.Status) -> None:
    assert status == QUOTA


def test_a_quota_is_told_to_grpc_with_all_its_details(stub):
    for call in (
        lambda: stub.GetTrack(gateway_pb2.GetTrackRequest()),
        lambda: list(stub.Converse(gateway_pb2.ConverseRequest())),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        check_quota(rpc_status.from_call(caught.value))


def test_a_quota_is_told_to_json_with_all_its_details(port):
    for verb, path, body in (
        ("GET", "/v1/tracks/one", b""),
        ("POST", "/v1/sessions/one:converse", b"{}"),
    ):
        status, told = ask_json(port, verb, path, body)
        assert status == 429
        assert told["code"] == Code.RESOURCE_EXHAUSTED.value[0]
        kinds = {detail["@type"].rpartition(".")[2]: detail for detail in told["details"]}
        assert kinds["ErrorInfo"]["reason"] == "QUOTA_EXCEEDED"
        assert kinds["QuotaFailure"]["violations"][0]["description"] == "3 turns at once"
        assert kinds["RetryInfo"]["retryDelay"] == "3s"


def test_a_quota_is_told_to_grpc_web_with_all_its_details(port):
    response, data = ask(
        port,
        "POST",
        "/mixdown.gateway.v1.GatewayService/GetTrack",
        b"\0\0\0\0\0",
        content_type="application/grpc-web+proto",
        x_grpc_web="1",
    )
    ended = {name.lower(): value for name, value in response.headers.items()}
    if data:
        lines = data[5:].decode().strip().split("\r\n")
        ended |= dict(line.split(":", 1) for line in lines)
    encoded = ended["grpc-status-details-bin"].strip()
    check_quota(status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4))))


async def test_the_client_tells_which_quota_it_is(port, monkeypatch):
    monkeypatch.setattr("mixdown.retrying._ATTEMPTS", 1)
    async with mixdown.connect(f"127.0.0.1:{port}") as client:
        with pytest.raises(mixdown.MixdownError) as caught:
            session = mixdown.Session(client._link, conversation_pb2.Session(session_id="one"))
            await session.ask("hello")
    error = caught.value
    assert (error.reason, error.violations) == ("QUOTA_EXCEEDED", ("3 turns at once",))
    assert error.retry_after_seconds == 3.0


def test_an_upload_that_is_left_open_is_ended_with_a_reason(impatient_port):
    ended = threading.Event()

    def half() -> Iterator[gateway_pb2.UploadTrackRequest]:
        yield gateway_pb2.UploadTrackRequest(start=gateway_pb2.UploadStart(upload_id="half"))
        assert ended.wait(PATIENCE_SECONDS), "it is ended by the edge, not by us"

    with grpc.insecure_channel(f"127.0.0.1:{impatient_port}") as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.UploadTrack(half())
        ended.set()
    assert caught.value.code() == Code.UNAVAILABLE
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "STREAM_IDLE"


def test_a_body_that_is_left_open_is_ended_with_a_reason(impatient_port):
    connection = http.client.HTTPConnection("127.0.0.1", impatient_port, timeout=PATIENCE_SECONDS)
    connection.putrequest("PUT", "/v1/uploads/half?displayName=a&totalSizeBytes=100")
    connection.putheader("content-length", "100")
    connection.endheaders(b"only this")
    response = connection.getresponse()
    assert response.status == 408
    assert json.loads(response.read())["details"][0]["reason"] == "STREAM_IDLE"


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", "/v1/sessions", b"{bad"),
        ("POST", "/v1/sessions", b'{"displayName": "\xff\xfe"}'),
        ("POST", "/v1/sessions", b'{"displayName": 7}'),
        ("POST", "/v1/sessions/one:converse", b'{"delivery": "DELIVERY_BY_PIGEON"}'),
        ("POST", "/v1/sessions/one:converse", b'{"prompt": {"a": 1}}'),
        ("GET", "/v1/tracks?noSuchField=1", b""),
        ("GET", "/v1/tracks?pageSize=many", b""),
    ],
    ids=str,
)
def test_json_that_is_not_the_calls_is_malformed(port, verb, path, body):
    status, told = ask_json(port, verb, path, body)
    assert (status, told["code"]) == (400, Code.INVALID_ARGUMENT.value[0])
    assert told["details"][0]["reason"] == "MALFORMED_MESSAGE"
    assert told["message"]


@pytest.mark.parametrize(("verb", "path"), [("GET", "/"), ("GET", "/v1/nothing"), ("PUT", "/v1/x")])
def test_a_path_that_does_not_exist_says_so_in_json(port, verb, path):
    status, told = ask_json(port, verb, path)
    assert (status, told["code"]) == (404, Code.UNIMPLEMENTED.value[0])


def test_a_name_with_an_underscore_is_no_way_around_a_name_with_a_dash(stub):
    with pytest.raises(grpc.RpcError) as caught:  # let through, and refused for its quota only
        stub.GetTrack(gateway_pb2.GetTrackRequest(), metadata=(("x_mixdown_user", "root"),))
    assert caught.value.code() == Code.RESOURCE_EXHAUSTED


def test_more_headers_than_a_call_has_are_refused_and_nothing_else_is(port):
    long = {f"x-filler-{number}": "x" * 8000 for number in range(5)}
    many = {f"x-filler-{number}": "x" for number in range(70)}
    for headers in (long, many):
        assert ask(port, "GET", "/v1/tracks/one", **headers)[0].status == 431
    few = {f"x-filler-{number}": "x" * 4000 for number in range(7)}
    response, data = ask(port, "GET", "/v1/tracks/one", **few)
    assert response.status == 429
    assert json.loads(data)["message"] == QUOTA.message  # the gateway's, which has been reached


@pytest.mark.parametrize("field", ["prompt", "noSuchField"])
def test_more_json_than_a_call_has_is_refused_before_it_is_held(port, field):
    body = json.dumps({field: "x" * (1 << 20)}).encode()
    status, told = ask_json(port, "POST", "/v1/sessions/one:converse", body)
    assert (status, told["code"]) == (413, Code.INVALID_ARGUMENT.value[0])
    assert told["details"][0]["reason"] == "MALFORMED_MESSAGE"
    body = json.dumps({field: "x" * (1 << 19)}).encode()
    status, told = ask_json(port, "POST", "/v1/sessions/one:converse", body)
    assert (status, told["message"]) == (429, QUOTA.message)


def test_the_body_of_an_upload_is_not_held_and_may_be_larger(port):
    path = "/v1/uploads/one?displayName=song.wav&totalSizeBytes=4000000"
    response, _ = ask(port, "PUT", path, bytes(4_000_000))
    assert response.status == 200


def test_more_connections_than_there_is_room_for_are_closed_and_the_others_served(port, stub):
    def is_served() -> bool:
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetTrack(gateway_pb2.GetTrackRequest())
        return bool(caught.value.details() == QUOTA.message)  # the double's own answer

    def is_room() -> bool:
        try:
            return QUOTA.message.encode() in ask(port, "GET", "/v1/tracks/one")[1]
        except (ConnectionError, http.client.BadStatusLine):
            return False

    assert is_served()
    with contextlib.ExitStack() as stack:

        def connect() -> None:
            address = ("127.0.0.1", port)
            stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))

        def is_full() -> bool:
            # Connections of tests before may have counted when ours came, and have gone since.
            if is_room():
                connect()
                return False
            return True

        for _ in range(CONNECTIONS):
            connect()
        assert eventually(is_full)
        assert is_served()
    assert eventually(is_room)


def test_where_no_gateway_is_everybody_is_told_to_come_again(tmp_path: Path):
    settings = EnvoySettings(
        address="127.0.0.1",
        port=free_port(),
        internal_port=free_port(),
        admin_port=free_port(),
        ports={name: free_port() for name in SERVICES},
        folder=tmp_path,
    )
    with running_envoy(settings, answers=False):
        with grpc.insecure_channel(f"127.0.0.1:{settings.port}") as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetTrack(
                    gateway_pb2.GetTrackRequest(), wait_for_ready=True, timeout=PATIENCE_SECONDS
                )
        assert caught.value.code() == Code.UNAVAILABLE
        info = error_details_pb2.ErrorInfo()
        assert rpc_status.from_call(caught.value).details[0].Unpack(info)
        assert info.reason == "SERVICE_UNAVAILABLE"
        status, told = ask_json(settings.port, "GET", "/v1/tracks")
        assert (status, told["details"][0]["reason"]) == (503, "SERVICE_UNAVAILABLE")
        assert told["details"][1]["retryDelay"] == "1s"

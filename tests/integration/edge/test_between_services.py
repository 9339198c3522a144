"""Calls go through Envoy, from callers and from service to service: breaking, and asking again."""

import concurrent.futures
import json
import threading
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from mixdown.separator.v1 import separator_pb2, separator_pb2_grpc
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.local.envoy import EnvoySettings
from services.local.suite import SERVICES
from tests.integration.edge.conftest import running_envoy
from tests.integration.gateway.conftest import eventually, free_port
from tests.patience import PATIENCE_SECONDS

CALLS = 3
CALLERS = 60


class AwayAtFirst:
    """Away at the first try of everything."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def _away_at_first(self, name: str, context: grpc.ServicerContext) -> None:
        self.asked[name] += 1
        if self.asked[name] == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")


class Gateway(AwayAtFirst, gateway_pb2_grpc.GatewayServiceServicer):
    """What callers reach."""

    def GetTrack(self, request, context):
        self._away_at_first("GetTrack", context)
        return conversation_pb2.Track(track_id=request.track_id)

    def ListTurns(self, request, context):
        self._away_at_first("ListTurns", context)
        return gateway_pb2.ListTurnsResponse()

    def QueryUpload(self, request, context):
        self._away_at_first("QueryUpload", context)
        return gateway_pb2.UploadStatus()

    def CreateSession(self, request, context):
        self._away_at_first("CreateSession", context)
        return conversation_pb2.Session()

    def CancelTurn(self, request, context):
        self._away_at_first("CancelTurn", context)
        return conversation_pb2.Turn()

    def Converse(self, request, context):
        self._away_at_first("Converse", context)
        yield conversation_pb2.TurnEvent()

    def DownloadArtifact(self, request, context):
        self._away_at_first("DownloadArtifact", context)
        yield gateway_pb2.DownloadArtifactResponse()

    def UploadTrack(self, request_iterator, context):
        self._away_at_first("UploadTrack", context)
        return conversation_pb2.Track()


class Session(AwayAtFirst, session_pb2_grpc.SessionServiceServicer):
    """What the gateway reaches."""

    def GetTrack(self, request, context):
        self._away_at_first(request.track_id, context)
        return conversation_pb2.Track(track_id=request.track_id)

    def BeginTurn(self, request, context):
        self._away_at_first(request.prompt, context)
        return session_pb2.Work()

    def WatchEvents(self, request, context):
        self._away_at_first(request.turn_id, context)
        yield conversation_pb2.TurnEvent()


class Separator(separator_pb2_grpc.SeparatorServiceServicer):
    """Computes until it is told to end."""

    def __init__(self) -> None:
        self.running = 0
        self.ended = threading.Event()

    def Separate(self, request, context):
        self.running += 1
        yield separator_pb2.SeparateResponse()
        self.ended.wait(PATIENCE_SECONDS)


class Interpreter(interpreter_pb2_grpc.InterpreterServiceServicer):
    """Away. Says so to all callers when each has asked, and then to who asks again when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.all_are_told = threading.Event()
        self._lock = threading.Lock()
        self._all_have_asked = threading.Event()

    def Interpret(self, request, context):
        with self._lock:
            self.asked += 1
            is_again = self.asked > CALLERS
            if self.asked == CALLERS:
                self._all_have_asked.set()
        (self.all_are_told if is_again else self._all_have_asked).wait(PATIENCE_SECONDS)
        context.abort(grpc.StatusCode.UNAVAILABLE, "away")


class Remixer(remixer_pb2_grpc.RemixerServiceServicer):
    """Works, or is away though it says that it is well."""

    def __init__(self, *, works: bool) -> None:
        self._works = works
        self.asked = 0

    def GetEffects(self, request, context):
        self.asked += 1
        if not self._works:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return remixer_pb2.Effects()


class Bench:
    def __init__(
        self,
        settings: EnvoySettings,
        gateway: Gateway,
        session: Session,
        separator: Separator,
        interpreter: Interpreter,
        failing_remixer: Remixer,
    ) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{settings.internal_port}")
        self.public = grpc.insecure_channel(f"127.0.0.1:{settings.port}")
        self.gateway_double = gateway
        self.gateway = gateway_pb2_grpc.GatewayServiceStub(self.public)
        self._admin = f"http://127.0.0.1:{settings.admin_port}/stats?format=json&filter="
        self.interpreter_double, self.failing_remixer = interpreter, failing_remixer
        self.interpreter = interpreter_pb2_grpc.InterpreterServiceStub(self.channel)
        self.remixer = remixer_pb2_grpc.RemixerServiceStub(self.channel)
        self.session_double, self.separator_double = session, separator
        self.session = session_pb2_grpc.SessionServiceStub(self.channel)
        self.separator = separator_pb2_grpc.SeparatorServiceStub(self.channel)

    def count(self, name: str) -> int:
        """What Envoy counted."""
        with urllib.request.urlopen(self._admin + urllib.parse.quote(f"^{name}$")) as answer:
            (found,) = json.load(answer)["stats"]
        return found["value"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("between")
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(80))
    session, separator, interpreter = Session(), Separator(), Interpreter()
    gateway = Gateway()
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(gateway, server)
    interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(interpreter, server)
    remixer_pb2_grpc.add_RemixerServiceServicer_to_server(Remixer(works=True), server)
    # Another remixer, which answers health checks and nothing else.
    other = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    failing = Remixer(works=False)
    remixer_pb2_grpc.add_RemixerServiceServicer_to_server(failing, other)
    session_pb2_grpc.add_SessionServiceServicer_to_server(session, server)
    separator_pb2_grpc.add_SeparatorServiceServicer_to_server(separator, server)
    alive = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(alive, server)
    health_pb2_grpc.add_HealthServicer_to_server(alive, other)
    for name in SERVICES:
        service = f"mixdown.{name}.v1.{name.title()}Service"
        alive.set(service, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    other_port = other.add_insecure_port("127.0.0.1:0")
    server.start()
    other.start()
    settings = EnvoySettings(
        address="127.0.0.1",
        port=free_port(),
        internal_port=free_port(),
        admin_port=free_port(),
        ports=dict.fromkeys(SERVICES, port),
        folder=folder,
        separator_calls=CALLS,
    )

    def add_remixer(config: dict[str, Any]) -> None:
        clusters = {found["name"]: found for found in config["static_resources"]["clusters"]}
        remixer = clusters["remixer"]
        (locality,) = remixer["load_assignment"]["endpoints"]
        address = {"address": "127.0.0.1", "port_value": other_port}
        locality["lb_endpoints"].append({"endpoint": {"address": {"socket_address": address}}})
        # Whoever is left alone is so for the whole test, and says often that it is well.
        remixer["outlier_detection"] = {
            **remixer["outlier_detection"],
            "base_ejection_time": "600s",
        }
        (check,) = remixer["health_checks"]
        check |= {"interval": "0.2s", "no_traffic_interval": "0.2s"}

    with running_envoy(settings, add_remixer):
        bench = Bench(settings, gateway, session, separator, interpreter, failing)
        yield bench
        bench.channel.close()
        bench.public.close()
    separator.ended.set()
    server.stop(0)
    other.stop(0)


def test_what_only_reads_is_asked_again(bench):
    assert bench.session.GetTrack(session_pb2.GetTrackRequest(track_id="one")).track_id == "one"
    assert bench.session_double.asked["one"] == 2


def test_what_writes_is_not_said_twice(bench):
    with pytest.raises(grpc.RpcError) as caught:
        bench.session.BeginTurn(session_pb2.BeginTurnRequest(prompt="louder"))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert bench.session_double.asked["louder"] == 1


def test_a_stream_is_not_begun_twice(bench):
    with pytest.raises(grpc.RpcError) as caught:
        list(bench.session.WatchEvents(session_pb2.WatchEventsRequest(turn_id="turn")))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert bench.session_double.asked["turn"] == 1


def test_a_callers_reads_are_asked_again(bench):
    track = bench.gateway.GetTrack(gateway_pb2.GetTrackRequest(track_id="one"))
    assert track.track_id == "one"
    bench.gateway.ListTurns(gateway_pb2.ListTurnsRequest())
    bench.gateway.QueryUpload(gateway_pb2.QueryUploadRequest())
    for name in ("GetTrack", "ListTurns", "QueryUpload"):
        assert bench.gateway_double.asked[name] == 2


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("CreateSession", lambda stub: stub.CreateSession(gateway_pb2.CreateSessionRequest())),
        ("CancelTurn", lambda stub: stub.CancelTurn(gateway_pb2.CancelTurnRequest())),
        ("Converse", lambda stub: list(stub.Converse(gateway_pb2.ConverseRequest()))),
        (
            "DownloadArtifact",
            lambda stub: list(stub.DownloadArtifact(gateway_pb2.DownloadArtifactRequest())),
        ),
        ("UploadTrack", lambda stub: stub.UploadTrack(iter([gateway_pb2.UploadTrackRequest()]))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_caller_changes_or_streams_is_not_asked_again(bench, name, call):
    with pytest.raises(grpc.RpcError) as caught:
        call(bench.gateway)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert bench.gateway_double.asked[name] == 1


def test_a_service_that_says_it_is_well_and_fails_is_left_alone(bench):
    def ask_until_it_is_ejected() -> bool:
        # Who asks notices nothing: what only reads is asked of the other one again.
        bench.remixer.GetEffects(remixer_pb2.GetEffectsRequest(), timeout=PATIENCE_SECONDS)
        return bench.count("cluster.remixer.outlier_detection.ejections_active") == 1

    def checks_passed() -> int:
        return bench.count("cluster.remixer.health_check.success")

    assert eventually(ask_until_it_is_ejected)
    asked, passed = bench.failing_remixer.asked, checks_passed()
    assert asked >= 5
    assert eventually(lambda: checks_passed() >= passed + 4)  # two of each at least
    for _ in range(50):
        bench.remixer.GetEffects(remixer_pb2.GetEffectsRequest(), timeout=PATIENCE_SECONDS)
    assert bench.failing_remixer.asked == asked


def test_asking_again_has_a_budget(bench):
    def ask(_) -> grpc.StatusCode:
        request = interpreter_pb2.InterpretRequest(prompt="hello")
        with pytest.raises(grpc.RpcError) as caught:
            bench.interpreter.Interpret(request, timeout=PATIENCE_SECONDS)
        return caught.value.code()

    def each_is_asked_again_or_refused_that() -> bool:
        names = ("upstream_rq_retry", "upstream_rq_retry_overflow")
        return sum(bench.count(f"cluster.interpreter.{name}") for name in names) >= CALLERS

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as threads:
        codes = threads.map(ask, range(CALLERS))
        assert eventually(each_is_asked_again_or_refused_that)
        bench.interpreter_double.all_are_told.set()
        assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
    # Twice more for each would be 180: a service that is down is not buried.
    assert CALLERS < bench.interpreter_double.asked < 1.6 * CALLERS
    assert bench.count("cluster.interpreter.upstream_rq_retry_overflow") > 0


def test_the_breaker_opens_where_the_separators_have_enough_and_closes_again(bench):
    request = separator_pb2.SeparateRequest()
    running = [bench.separator.Separate(request) for _ in range(CALLS)]
    for call in running:
        next(call)
    with pytest.raises(grpc.RpcError) as caught:
        next(bench.separator.Separate(request, timeout=PATIENCE_SECONDS))
    # Told at once, and not by the separator.
    assert bench.separator_double.running == CALLS
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    first, second = rpc_status.from_call(caught.value).details
    assert first.Unpack(info)
    assert second.Unpack(retry)
    assert info.reason == "SERVICE_UNAVAILABLE"
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.0

    running.pop().cancel()

    def is_let_in() -> bool:
        call = bench.separator.Separate(request, timeout=PATIENCE_SECONDS)
        try:
            next(call)
        except grpc.RpcError:
            return False
        call.cancel()
        return True

    assert eventually(is_let_in)
    for call in running:
        call.cancel()

"""Whatever is sent to whichever call: one clear error, and nothing else happens.

The calls and their messages are taken from the contract, so a new call is tested as it is added.
"""

import io
import itertools
import random
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import grpc
import numpy as np
import psutil
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from tests.integration.gateway.conftest import Suite, eventually, noise_wav
from tests.integration.gateway.hostile_messages import not_utf8, wire_messages
from tests.integration.gateway.test_resumption import idle
from tests.patience import PATIENCE_SECONDS

SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
METHODS = pytest.mark.parametrize("method", list(SERVICE.methods), ids=lambda method: method.name)

NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}
MOST_RESPONSES = 40
MAGICS = (b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0\0\0\x22", b"FORM", b"ID3\x04\0\0", b"OggS\0\2")
MAGICS += (b"\0\0\0\x20ftypM4A ", b"\x1aE\xdf\xa3", b"\xff\xfb\x90\x64", b"")


@dataclass
class Stranger:
    """A user who means no good, and what is really there."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...]
    known: tuple[str, ...]

    @property
    def stub(self) -> gateway_pb2_grpc.GatewayServiceStub:
        return gateway_pb2_grpc.GatewayServiceStub(self.channel)

    def say(self, method, requests: list[bytes]) -> tuple[grpc.StatusCode, str]:
        """Makes a call with raw bytes; returns how it ended and the reason."""
        path = f"/{SERVICE.full_name}/{method.name}"
        request = iter(requests) if method.client_streaming else requests[0]
        told = {"metadata": self.metadata, "timeout": PATIENCE_SECONDS}
        try:
            if method.client_streaming:
                self.channel.stream_unary(path)(request, **told)
            elif method.server_streaming:
                call = self.channel.unary_stream(path)(request, **told)
                for _ in itertools.islice(call, MOST_RESPONSES):
                    pass
                call.cancel()
            else:
                self.channel.unary_unary(path)(request, **told)
        except grpc.RpcError as error:
            return error.code(), reason_of(error)
        return grpc.StatusCode.OK, ""

    def upload(self, content: bytes, size: int | None = None, chunk: int = 1 << 18):
        start = gateway_pb2.UploadStart(
            upload_id=uuid.uuid4().hex, display_name="song", total_size_bytes=size or len(content)
        )
        return self.stub.UploadTrack(
            itertools.chain([gateway_pb2.UploadTrackRequest(start=start)], parts(content, chunk)),
            metadata=self.metadata,
            timeout=PATIENCE_SECONDS,
        )


def parts(content: bytes, chunk: int) -> Iterable[gateway_pb2.UploadTrackRequest]:
    for position in range(0, len(content), chunk):
        yield gateway_pb2.UploadTrackRequest(data=content[position : position + chunk])


def reason_of(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Unpack(info):
            assert info.domain == "mixdown"
            return info.reason
    return ""


@pytest.fixture(scope="module")
def stranger(suite: Suite) -> Iterator[Stranger]:
    metadata = (("x-mixdown-user", f"stranger-{uuid.uuid4().hex}"),)
    with grpc.insecure_channel(suite.address("gateway")) as channel:
        stranger = Stranger(channel, metadata, ())
        stub = stranger.stub
        track = stranger.upload(noise_wav(0.5))
        session = stub.CreateSession(
            gateway_pb2.CreateSessionRequest(track_id=track.track_id), metadata=metadata
        )
        said = gateway_pb2.ConverseRequest(session_id=session.session_id, prompt="only the bass")
        turn_id = [event.turn_id for event in stub.Converse(said, metadata=metadata)][-1]
        turn = stub.GetTurn(gateway_pb2.GetTurnRequest(turn_id=turn_id), metadata=metadata)
        artifact = turn.artifacts[0].artifact_id
        stranger.known = (track.track_id, session.session_id, turn_id, artifact)
        yield stranger


@pytest.fixture(autouse=True)
def lives_on(suite: Suite, stranger: Stranger) -> Iterator[None]:
    """After every test the gateway answers as before, and nothing is left over."""
    yield
    facts = stranger.stub.GetCapabilities(
        gateway_pb2.GetCapabilitiesRequest(), metadata=stranger.metadata, timeout=PATIENCE_SECONDS
    )
    assert facts.models
    assert eventually(lambda: idle(suite))
    gateway = psutil.Process(suite.processes["gateway"].pid)
    assert eventually(lambda: not gateway.children())


@METHODS
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_makes_no_sense_costs_one_clear_error(stranger: Stranger, method, data):
    # What is deleted is not there for the other calls.
    known = () if method.name.startswith("Delete") else stranger.known
    requests = wire_messages(method.input_type, known)
    most = 4 if method.client_streaming else 1
    code, reason = stranger.say(method, data.draw(st.lists(requests, min_size=1, max_size=most)))
    assert code not in NEVER
    assert reason or code == grpc.StatusCode.OK


@METHODS
def test_bytes_that_are_no_message_or_no_text_are_malformed(stranger: Stranger, method):
    for data in not_utf8(method.input_type):
        code, reason = stranger.say(method, [data])
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


def test_a_call_that_does_not_exist_is_refused(stranger: Stranger):
    with pytest.raises(grpc.RpcError) as caught:
        stranger.channel.unary_unary(f"/{SERVICE.full_name}/NoSuchCall")(
            b"", timeout=PATIENCE_SECONDS
        )
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@METHODS
def test_a_message_beyond_all_measure_is_refused(stranger: Stranger, method):
    code, _ = stranger.say(method, [bytes(9 << 20)])
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


@settings(max_examples=10, deadline=None)
@given(magic=st.sampled_from(MAGICS), noise=st.binary(min_size=1, max_size=3_000))
def test_noise_that_looks_like_audio_is_no_audio(stranger: Stranger, magic, noise):
    check_is_a_track_or_refused(stranger, magic + noise)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(magic=st.sampled_from(MAGICS), noise=st.binary(min_size=1, max_size=20_000))
def test_much_noise_that_looks_like_audio_is_no_audio(stranger: Stranger, magic, noise):
    check_is_a_track_or_refused(stranger, magic + noise)


def check_is_a_track_or_refused(stranger: Stranger, content: bytes) -> None:
    try:
        track = stranger.upload(content)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(error) in {"UNDECODABLE_AUDIO", "UNSUPPORTED_AUDIO"}
    else:  # some noise is MP3
        assert track.audio.frames > 0


@pytest.mark.parametrize("harm", ["cut", "flipped"])
@pytest.mark.parametrize(
    ("codec", "container"), [("flac", "flac"), ("libmp3lame", "mp3"), ("aac", "mp4")]
)
def test_a_damaged_file_is_a_track_or_a_clear_error(stranger: Stranger, codec, container, harm):
    content = bytearray(encoded(codec, container, seconds=1.0))
    chance = random.Random(17)
    if harm == "cut":
        content = content[: len(content) // 3]
    else:
        for position in chance.sample(range(len(content)), 40):
            content[position] = chance.randrange(256)
    check_is_a_track_or_refused(stranger, bytes(content))


def encoded(codec: str, container: str, seconds: float, rate: int = 44_100) -> bytes:
    """Silence with a little noise in front."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as writer:
        stream = writer.add_stream(codec, rate=rate, layout="mono")
        stream.format = {"flac": "s16", "libmp3lame": "s16p", "aac": "fltp"}[codec]
        block = np.zeros((1, 1 << 16), np.float32)
        block[0, :4096] = np.random.default_rng(1).normal(0, 0.1, 4096)
        left = round(seconds * rate)
        while left:
            part = np.ascontiguousarray(block[:, :left])
            left -= part.shape[1]
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate = rate
            writer.mux(stream.encode(frame))
            block[:] = 0
        writer.mux(stream.encode(None))
    return file.getvalue()


def test_hours_of_silence_in_a_small_file_are_refused_before_they_are_decoded(stranger: Stranger):
    content = encoded("flac", "flac", seconds=3 * 3600.0, rate=8_000)
    assert len(content) < 4 << 20
    with pytest.raises(grpc.RpcError) as caught:
        stranger.upload(content)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == "UNSUPPORTED_AUDIO"
    assert "60 seconds at most" in caught.value.details()  # where decoding stops


def test_ten_thousand_tiny_messages_are_one_upload(stranger: Stranger):
    content = noise_wav(0.05)[:10_000]
    track = stranger.upload(content, chunk=1)
    assert track.blob.size_bytes == len(content)


def test_ten_thousand_messages_without_a_byte_are_no_upload(stranger: Stranger):
    start = gateway_pb2.UploadStart(upload_id="empty", display_name="song", total_size_bytes=100)
    messages = [gateway_pb2.UploadTrackRequest(data=b"")] * 10_000
    with pytest.raises(grpc.RpcError) as caught:
        stranger.stub.UploadTrack(
            itertools.chain([gateway_pb2.UploadTrackRequest(start=start)], messages),
            metadata=stranger.metadata,
            timeout=PATIENCE_SECONDS,
        )
    assert reason_of(caught.value) == "OFFSET_MISMATCH"


def test_half_open_streams_hold_nobody_up(suite: Suite, stranger: Stranger):
    with grpc.insecure_channel(
        suite.address("gateway"), options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        enough = threading.Event()

        def never() -> Iterator[gateway_pb2.UploadTrackRequest]:
            enough.wait(PATIENCE_SECONDS)  # grpc asks in a thread of its own, which has to end
            yield from ()

        waiting = []
        for number in range(50):
            start = gateway_pb2.UploadStart(
                upload_id=f"half-{number}", display_name="song", total_size_bytes=100
            )
            first = gateway_pb2.UploadTrackRequest(start=start)
            endless = itertools.chain([first], never())
            waiting.append(stub.UploadTrack.future(endless, metadata=stranger.metadata))
        track = stranger.upload(noise_wav(0.5, seed=5))
        assert track.track_id
        assert not any(call.done() for call in waiting)
        for call in waiting:
            call.cancel()
        enough.set()

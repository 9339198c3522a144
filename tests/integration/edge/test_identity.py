"""Who calls is what a valid token says, and nothing else."""

import json
import os
import subprocess
import sys
import time
import uuid

import grpc
import jwt
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from tests.integration.edge.conftest import AUDIENCE, ISSUER, Edge, Issuer, bearer
from tests.integration.gateway.conftest import eventually

LIST = gateway_pb2.ListTracksRequest()


def refusal_of(stub, metadata) -> error_details_pb2.ErrorInfo:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListSessions(gateway_pb2.ListSessionsRequest(), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    return info


@pytest.fixture(scope="module")
def alice(edge: Edge) -> str:
    """A user with an upload under way, by which she is told from others."""
    with grpc.insecure_channel(edge.suite.address("session")) as channel:
        session_pb2_grpc.SessionServiceStub(channel).BeginUpload(
            session_pb2.BeginUploadRequest(
                user_id="alice", upload_id="hers", display_name="song.wav", total_size_bytes=9
            )
        )
    return "alice"


QUERY = gateway_pb2.QueryUploadRequest(upload_id="hers")


def test_a_valid_token_says_who_calls(edge, stub, alice):
    assert stub.QueryUpload(QUERY, metadata=bearer(edge.token(alice))).upload_id == "hers"


def test_another_user_does_not_see_it(edge, stub, alice):
    with pytest.raises(grpc.RpcError) as caught:
        stub.QueryUpload(QUERY, metadata=bearer(edge.token("bob")))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("key", ["x-mixdown-user", "X-Mixdown-User".lower(), "x-mixdown-anything"])
def test_an_identity_header_from_outside_is_ignored(edge, stub, alice, key):
    with pytest.raises(grpc.RpcError) as caught:
        stub.QueryUpload(QUERY, metadata=(*bearer(edge.token("bob")), (key, "alice")))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    hers = (*bearer(edge.token(alice)), (key, "bob"))
    assert stub.QueryUpload(QUERY, metadata=hers).upload_id == "hers"


def test_an_identity_header_alone_is_no_identity(stub, alice):
    assert refusal_of(stub, (("x-mixdown-user", "alice"),)).reason == "NO_IDENTITY"


def test_a_call_without_a_token_is_refused(stub):
    info = refusal_of(stub, ())
    assert (info.reason, info.domain) == ("NO_IDENTITY", "mixdown")


def test_an_expired_token_is_refused(edge, stub):
    token = edge.token(exp=time.time() - 3600)
    assert refusal_of(stub, bearer(token)).reason == "NO_IDENTITY"


def test_a_token_that_never_expires_is_refused(edge, stub):
    assert refusal_of(stub, bearer(edge.token(exp=None))).reason == "NO_IDENTITY"


def test_a_token_signed_by_another_key_is_refused(stub):
    forged = Issuer().token("alice")  # the same key id, another key
    assert refusal_of(stub, bearer(forged)).reason == "NO_IDENTITY"


def test_a_token_without_a_signature_is_refused(stub):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": time.time() + 300}
    unsigned = jwt.encode(claims, None, algorithm="none")
    assert refusal_of(stub, bearer(unsigned)).reason == "NO_IDENTITY"


@pytest.mark.parametrize("claims", [{"iss": "https://other.example.com/"}, {"aud": "other"}])
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(edge, stub, claims):
    assert refusal_of(stub, bearer(edge.token(**claims))).reason == "NO_IDENTITY"


def test_a_token_that_names_nobody_is_refused(edge, stub):
    assert refusal_of(stub, bearer(edge.issuer.token("", sub=None))).reason == "NO_IDENTITY"
    forged = (*bearer(edge.issuer.token("", sub=None)), ("x-mixdown-user", "alice"))
    assert refusal_of(stub, forged).reason == "NO_IDENTITY"


def test_keys_that_are_replaced_count_without_a_restart(edge, stub):
    jwks = edge.suite.folder / "edge" / "jwks.json"
    before, second = jwks.read_text(), Issuer("two")

    def counts(issuer: Issuer) -> bool:
        try:
            stub.ListTracks(LIST, metadata=bearer(issuer.token(uuid.uuid4().hex)))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            return False
        return True

    def put(text: str) -> None:
        new = jwks.with_suffix(".new")
        new.write_text(text)
        new.replace(jwks)  # at once, as a mounted Secret is

    assert not counts(second)
    put(json.dumps({"keys": [edge.issuer.public_key(), second.public_key()]}))
    assert eventually(lambda: counts(second))
    assert counts(edge.issuer)
    put(before)
    assert eventually(lambda: not counts(second))


def test_health_and_contracts_are_told_without_a_token(edge):
    with grpc.insecure_channel(edge.address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([asked])
        )
        names = {service.name for service in next(answers).list_services_response.service}
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert "mixdown.gateway.v1.GatewayService" in names


def test_the_command_shows_the_token_of_its_environment(edge, tmp_path):
    lyrics = tmp_path / "lyrics.mp3"
    lyrics.write_text("These are words.")
    command = [sys.executable, "-m", "mixdown.cli", "ask", lyrics, "hi", "--address", edge.address]

    def refusal(**environment: str) -> str:
        outcome = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "200", **environment},
        )
        assert outcome.returncode == 1
        return outcome.stderr

    assert "NO_IDENTITY" in refusal()
    assert "UNDECODABLE_AUDIO" in refusal(MIXDOWN_TOKEN=edge.token())

"""One user's calls do not crowd out another's."""

import concurrent.futures
import itertools
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import mixdown
from mixdown.gateway.v1 import gateway_pb2
from tests.integration.edge.conftest import CALLS_AT_ONCE, bearer


def statuses_of(stub, metadata, calls: int) -> list[grpc.RpcError | None]:
    def call(_) -> grpc.RpcError | None:
        try:
            stub.ListSessions(gateway_pb2.ListSessionsRequest(), metadata=metadata)
        except grpc.RpcError as error:
            return error
        return None

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return list(threads.map(call, range(calls)))


def first_refusal(stub, metadata) -> grpc.RpcError:
    """Calls until a call is refused."""
    return next(
        error for _ in itertools.count() for error in statuses_of(stub, metadata, 8) if error
    )


def test_too_many_calls_of_one_user_are_told_when_to_come_again(edge, stub):
    greedy, modest = bearer(edge.token()), bearer(edge.token())
    began = time.monotonic()
    errors = [error for error in statuses_of(stub, greedy, 3 * CALLS_AT_ONCE) if error]
    came_back = time.monotonic() - began + 1  # a call a second, which is let through too
    assert 2 * CALLS_AT_ONCE - came_back <= len(errors) <= 2 * CALLS_AT_ONCE
    for error in [*errors, first_refusal(stub, greedy)]:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        first, second = rpc_status.from_call(error).details
        assert first.Unpack(info)
        assert second.Unpack(retry)
        assert (info.domain, info.reason) == ("mixdown", "RATE_LIMITED")
        assert retry.retry_delay.ToTimedelta().total_seconds() == 1.0
    # Meanwhile another user is served.
    assert statuses_of(stub, modest, CALLS_AT_ONCE // 2) == [None] * (CALLS_AT_ONCE // 2)


def test_calls_without_a_user_share_one_bucket_that_is_not_a_users(edge, stub):
    # Refused before they are counted: strangers cost a user nothing.
    refused = [error for error in statuses_of(stub, (), 2 * CALLS_AT_ONCE) if error]
    assert {error.code() for error in refused} == {grpc.StatusCode.UNAUTHENTICATED}
    assert statuses_of(stub, bearer(edge.token()), 1) == [None]


async def test_the_client_comes_again_when_it_is_told_to(edge, stub):
    token = edge.token()
    first_refusal(stub, bearer(token))
    async with mixdown.connect(edge.address, token=token) as client:
        assert [track async for track in client.tracks()] == []

"""Retries, deadlines and errors, against a server that answers as the test says."""

import asyncio
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.message import Message
from scripted import failing, giving, serving, status

from lightkeep_client import AsyncClient, Client, LightkeepError, OperationFailed, Retry, v1
from lightkeep_client._retry import Attempts

AWAY = failing(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
AT_ONCE = Retry(attempts=3, first_seconds=0.0)
RUNNING, DONE = (v1.Operation(operation_id="o", state=state) for state in (v1.OPERATION_STATE_RUNNING, v1.OPERATION_STATE_SUCCEEDED))
FAILED = v1.Operation(
    operation_id="o",
    state=v1.OPERATION_STATE_FAILED,
    error=status(grpc.StatusCode.UNAVAILABLE, "the target is down"),
)


def run(address: str, ask: Callable[[AsyncClient], object], retry: Retry = AT_ONCE) -> object:
    """Asks with asyncio."""

    async def inner() -> object:
        async with AsyncClient(f"http://{address}", retry=retry) as client:
            return await ask(client)  # type: ignore[misc] # any coroutine

    return asyncio.run(inner())


def test_a_read_is_made_again_while_the_server_is_away() -> None:
    with serving({"GetGraph": [AWAY, AWAY, giving(v1.Graph(graph_id="g"))]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client:
            assert client.backup.GetGraph(v1.GetGraphRequest(graph_id="g")).graph_id == "g"
        assert len(scripted.calls) == 3
    with serving({"GetGraph": [AWAY, AWAY, giving(v1.Graph(graph_id="g"))]}) as (address, scripted):
        run(address, lambda client: client.backup.GetGraph(v1.GetGraphRequest(graph_id="g")))
        assert len(scripted.calls) == 3


def test_it_gives_up_after_its_attempts() -> None:
    with serving({"GetGraph": [AWAY]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(LightkeepError) as failed:
            client.backup.GetGraph(v1.GetGraphRequest())
        assert failed.value.reason == "SERVER_STOPPING"
        assert len(scripted.calls) == 3
        with pytest.raises(LightkeepError):
            run(address, lambda client: client.backup.GetGraph(v1.GetGraphRequest()))
        assert len(scripted.calls) == 6


def test_a_change_is_made_again_under_one_request_id() -> None:
    with serving({"CreateSnapshot": [AWAY, giving(v1.Snapshot())], "PinSnapshot": [giving(v1.Snapshot())]}) as (
        address,
        scripted,
    ):
        with Client(f"http://{address}", token="key", retry=AT_ONCE) as client:
            client.backup.CreateSnapshot(v1.CreateSnapshotRequest(graph_id="g"), metadata=[("x-request-id", "mine")])
            client.backup.PinSnapshot(v1.PinSnapshotRequest(request_id="chosen"))
        first, again = (v1.CreateSnapshotRequest.FromString(call[1]) for call in scripted.calls[:2])
        assert first == again
        assert len(first.request_id) == 36
        assert v1.PinSnapshotRequest.FromString(scripted.calls[2][1]).request_id == "chosen"
        assert scripted.calls[1][2]["authorization"] == "Bearer key"
        assert scripted.calls[1][2]["x-request-id"] == "mine"
        assert scripted.calls[1][2]["user-agent"].startswith("lightkeep-client/")


def test_what_would_be_done_twice_is_not_made_again() -> None:
    with serving({"TestNotification": [AWAY], "VerifyReplica": [AWAY]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client:
            for ask in (
                lambda: client.alert.TestNotification(v1.TestNotificationRequest()),
                lambda: client.replication.VerifyReplica(v1.VerifyReplicaRequest()),
            ):
                with pytest.raises(LightkeepError):
                    ask()
        assert len(scripted.calls) == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WAITING"),
        (grpc.StatusCode.INTERNAL, ""),
        (grpc.StatusCode.ABORTED, "ETAG_MISMATCH"),
        (grpc.StatusCode.UNAVAILABLE, "TARGET_UNREACHABLE"),
    ],
)
def test_other_errors_are_not_made_again(code: grpc.StatusCode, reason: str) -> None:
    with serving({"GetGraph": [failing(code, reason)]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(LightkeepError) as failed:
            client.backup.GetGraph(v1.GetGraphRequest())
        error = failed.value
        assert (error.code, error.reason, error.metadata, error.request_id) == (code, reason, {"a": "b"}, "call-1")
        assert len(scripted.calls) == 1


def test_a_server_that_is_not_there() -> None:
    with serving() as (address, _):
        pass
    with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(LightkeepError) as failed:
        client.backup.GetGraph(v1.GetGraphRequest())
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")


def test_the_pause_is_what_the_server_says_and_within_the_deadline() -> None:
    error = LightkeepError(status(grpc.StatusCode.UNAVAILABLE, "away"))
    attempts = Attempts(Retry(attempts=9, first_seconds=1.0, longest_seconds=3.0), 1000.0)
    pauses = [attempts.pause(error) for _ in range(9)]
    assert pauses[-1] is None
    for pause, longest in zip(pauses[:-1], [1, 2, 3, 3, 3, 3, 3, 3], strict=True):
        assert pause is not None
        assert longest / 2 <= pause <= longest
    attempts.begin_again()
    again = attempts.pause(error)
    assert again is not None
    assert again <= 1
    assert Attempts(Retry(first_seconds=10.0), 1.0).pause(error) is None
    failure = failing(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", 77.5)
    with serving({"GetGraph": [failure]}) as (address, _), Client(f"http://{address}", retry=Retry(attempts=1)) as client:
        with pytest.raises(LightkeepError) as failed:
            client.backup.GetGraph(v1.GetGraphRequest())
    assert Attempts(Retry(), 1000.0).pause(failed.value) == 77.5
    assert Attempts(Retry(), 70.0).pause(failed.value) is None


def test_deadlines() -> None:
    answers = {"GetGraph": [giving(v1.Graph())], "VerifySnapshot": [giving(v1.VerifySnapshotResponse())]}
    with serving(answers) as (address, scripted):
        with Client(f"http://{address}", timeout=500.0) as client:
            client.backup.GetGraph(v1.GetGraphRequest())
            client.backup.GetGraph(v1.GetGraphRequest(), timeout=5000.0)
            client.backup.GetGraph(v1.GetGraphRequest(), timeout=float("inf"))
            client.backup.VerifySnapshot(v1.VerifySnapshotRequest())
            client.backup.VerifySnapshot(v1.VerifySnapshotRequest(wait=False))
        left = [call[3] for call in scripted.calls]
    # gRPC rounds up what is sent, and takes years where nothing is.
    limits = [None if each is None or each > 1e6 else 500 if each < 1000 else 5000 for each in left]
    assert limits == [500, 5000, None, None, 500]


def test_a_deadline_that_passes() -> None:
    def never(_: bytes, context: grpc.ServicerContext) -> Message:
        while context.is_active():
            context.time_remaining()
        return v1.Graph()

    with serving({"GetGraph": [never]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(LightkeepError) as failed:
            client.backup.GetGraph(v1.GetGraphRequest(), timeout=0.2)
        assert failed.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(LightkeepError) as failed:
            run(address, lambda client: client.backup.GetGraph(v1.GetGraphRequest(), timeout=0.2))
        assert failed.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(scripted.calls) == 2


def watched() -> list[Callable[[], Iterator[Message]]]:
    """Streams that break twice, then one that goes on to the end."""
    away = status(grpc.StatusCode.UNAVAILABLE, "the server stops")
    return [lambda: iter([RUNNING, away]), lambda: iter([RUNNING]), lambda: iter([away]), lambda: iter([RUNNING, DONE])]


def test_waiting_goes_on_after_a_stream_breaks() -> None:
    # One attempt is enough for calls: waiting has the deadline instead.
    patient = Retry(attempts=1, first_seconds=0.0)
    seen: list[v1.Operation] = []
    with serving(streams={"WatchOperation": watched()}) as (address, scripted):
        with Client(f"http://{address}", retry=patient) as client:
            assert client.wait(RUNNING, progress=seen.append) == DONE
        assert seen == [RUNNING, RUNNING, RUNNING, DONE]
        assert len(scripted.calls) == 4
    with serving(streams={"WatchOperation": watched()}) as (address, scripted):
        assert run(address, lambda client: client.wait("o"), patient) == DONE
        assert v1.WatchOperationRequest.FromString(scripted.calls[3][1]).operation_id == "o"


def test_waiting_ends_with_its_deadline_and_with_other_errors() -> None:
    away = status(grpc.StatusCode.UNAVAILABLE, "the server stops")
    unknown = status(grpc.StatusCode.NOT_FOUND, "no such operation")
    for broken, code in ((away, grpc.StatusCode.UNAVAILABLE), (unknown, grpc.StatusCode.NOT_FOUND)):
        with serving(streams={"WatchOperation": [lambda broken=broken: iter([broken])]}) as (address, _):  # type: ignore[misc]
            with Client(f"http://{address}") as client, pytest.raises(LightkeepError) as failed:
                client.wait("o", timeout=0.5)
            assert failed.value.code == code
            with pytest.raises(LightkeepError) as failed:
                run(address, lambda client: client.wait("o", timeout=0.5), Retry())
            assert failed.value.code == code


def test_an_operation_that_has_failed_is_not_taken_for_a_server_that_is_away() -> None:
    cancelled = v1.Operation(state=v1.OPERATION_STATE_CANCELLED)
    for ended, code in ((FAILED, grpc.StatusCode.UNAVAILABLE), (cancelled, grpc.StatusCode.CANCELLED)):
        with serving(streams={"WatchOperation": [lambda ended=ended: iter([RUNNING, ended])]}) as (address, scripted):  # type: ignore[misc]
            with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(OperationFailed) as failed:
                client.wait("o")
            assert (failed.value.code, failed.value.operation) == (code, ended)
            with pytest.raises(OperationFailed):
                run(address, lambda client: client.wait("o"))
            assert len(scripted.calls) == 2


def forever() -> Iterator[Message]:
    while True:
        yield RUNNING


async def test_a_stream_ends_when_it_is_left() -> None:
    request = v1.WatchOperationRequest(operation_id="o")
    with serving(streams={"WatchOperation": [forever]}) as (address, _):
        with Client(f"http://{address}") as client:
            with client.operation.WatchOperation(request) as stream:
                assert next(stream) == RUNNING
            assert list(stream) == []
        async with AsyncClient(f"http://{address}") as asynchronous:
            async with asynchronous.operation.WatchOperation(request) as answers:
                assert await anext(answers) == RUNNING
            assert [each async for each in answers] == []


async def test_a_stream_has_a_deadline_where_one_is_said() -> None:
    request = v1.WatchOperationRequest(operation_id="o")
    with serving(streams={"WatchOperation": [forever]}) as (address, _):
        with Client(f"http://{address}") as client, pytest.raises(LightkeepError) as failed:
            list(client.operation.WatchOperation(request, timeout=0.2))
        assert failed.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        async with AsyncClient(f"http://{address}") as asynchronous:
            with pytest.raises(LightkeepError) as failed:
                [each async for each in asynchronous.operation.WatchOperation(request, timeout=0.2)]
        assert failed.value.code == grpc.StatusCode.DEADLINE_EXCEEDED

"""Retries, deadlines and errors, against a server that answers as the test says."""

import asyncio
import math
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from scripted import failing, giving, serving, slow_way, status

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
    answers = {
        "GetGraph": [giving(v1.Graph())],
        "VerifySnapshot": [giving(v1.VerifySnapshotResponse())],
        "DeleteSnapshot": [giving(v1.DeleteSnapshotResponse())],
        "DiffSnapshots": [giving(v1.DiffSnapshotsResponse())],
        "VerifyReplica": [giving(v1.VerifyReplicaResponse())],
    }
    with serving(answers) as (address, scripted):
        with Client(f"http://{address}", timeout=500.0) as client:
            client.backup.GetGraph(v1.GetGraphRequest())
            client.backup.GetGraph(v1.GetGraphRequest(), timeout=5000.0)
            client.backup.GetGraph(v1.GetGraphRequest(), timeout=float("inf"))
            client.backup.VerifySnapshot(v1.VerifySnapshotRequest())
            client.backup.VerifySnapshot(v1.VerifySnapshotRequest(wait=False))
            client.backup.DeleteSnapshot(v1.DeleteSnapshotRequest())
            client.backup.DiffSnapshots(v1.DiffSnapshotsRequest())
            client.replication.VerifyReplica(v1.VerifyReplicaRequest())
        left = [call[3] for call in scripted.calls]
    # gRPC rounds up what is sent, and takes years where nothing is.
    limits = [None if each is None or each > 1e6 else 500 if each < 1000 else 5000 for each in left]
    assert limits == [500, 5000, None, None, 500, None, None, None]


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


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED])
def test_waiting_goes_on_where_a_proxy_drops_the_stream(code: grpc.StatusCode) -> None:
    def dropped() -> list[Callable[[], Iterator[Message]]]:
        return [lambda: iter([RUNNING, status(code, "the stream was reset")]), lambda: iter([DONE])]

    with serving(streams={"WatchOperation": dropped()}) as (address, _), Client(f"http://{address}", retry=AT_ONCE) as client:
        assert client.wait("o") == DONE
    with serving(streams={"WatchOperation": dropped()}) as (address, _):
        assert run(address, lambda client: client.wait("o")) == DONE


def test_waiting_ends_where_the_server_has_a_reason() -> None:
    internal = status(grpc.StatusCode.INTERNAL, "a defect", error_details_pb2.ErrorInfo(reason="INTERNAL"))
    with serving(streams={"WatchOperation": [lambda: iter([RUNNING, internal])]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(LightkeepError, match="a defect"):
            client.wait("o", timeout=5.0)
        assert len(scripted.calls) == 1


def test_what_progress_raises_is_not_taken_for_a_stream_that_breaks() -> None:
    ours = LightkeepError(status(grpc.StatusCode.UNAVAILABLE, "another server is away"))

    def broken(_: v1.Operation) -> None:
        raise ours

    with serving(streams={"WatchOperation": [lambda: iter([RUNNING]), lambda: iter([DONE])]}) as (address, scripted):
        with Client(f"http://{address}", retry=AT_ONCE) as client, pytest.raises(LightkeepError) as failed:
            client.wait("o", progress=broken, timeout=5.0)
        assert failed.value is ours
        with pytest.raises(LightkeepError) as failed:
            run(address, lambda client: client.wait("o", progress=broken, timeout=5.0))
        assert failed.value is ours
        assert len(scripted.calls) == 2


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


async def test_a_stream_has_no_deadline_where_none_is_said() -> None:
    request = v1.WatchOperationRequest(operation_id="o")
    with serving(streams={"WatchOperation": [lambda: iter([RUNNING, DONE])]}) as (address, _):
        with Client(f"http://{address}") as client:
            assert list(client.operation.WatchOperation(request, timeout=math.inf)) == [RUNNING, DONE]
        async with AsyncClient(f"http://{address}") as asynchronous:
            assert [each async for each in asynchronous.operation.WatchOperation(request, timeout=math.inf)] == [RUNNING, DONE]


@contextmanager
def silent() -> Iterator[str]:
    """A server whose streams say nothing after their first answer; its address."""
    over = threading.Event()

    def stream() -> Iterator[Message]:
        yield RUNNING
        over.wait()

    with serving(streams={"WatchOperation": [stream]}) as (address, _):
        try:
            yield f"http://{address}"
        finally:
            over.set()


async def test_a_stream_that_another_task_closes_ends() -> None:
    with silent() as address:
        async with AsyncClient(address) as client:
            stream, begun = client.operation.WatchOperation(v1.WatchOperationRequest()), asyncio.Event()

            async def read() -> int:
                seen = 0
                async for _ in stream:
                    seen += 1
                    begun.set()
                return seen

            reading = asyncio.ensure_future(read())
            await begun.wait()
            stream.close()
            assert await reading == 1


async def test_a_task_that_reads_can_be_cancelled() -> None:
    with silent() as address:
        async with AsyncClient(address) as client:
            begun = asyncio.Event()
            waiting = asyncio.ensure_future(client.wait("o", progress=lambda _: begun.set()))
            await begun.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_waiting_ends_where_the_client_is_closed() -> None:
    with silent() as address:
        client, begun = AsyncClient(address), asyncio.Event()
        waiting = asyncio.ensure_future(client.wait("o", progress=lambda _: begun.set()))
        await begun.wait()
        await client.close()
        with pytest.raises(LightkeepError) as failed:
            await waiting
        assert failed.value.code == grpc.StatusCode.CANCELLED
    with silent() as address, ThreadPoolExecutor(1) as pool:
        blocking, reached = Client(address), threading.Event()
        future = pool.submit(blocking.wait, "o", progress=lambda _: reached.set())
        assert reached.wait(60)
        blocking.close()
        with pytest.raises(LightkeepError) as failed:
            future.result()
        assert failed.value.code == grpc.StatusCode.CANCELLED


async def test_a_token_that_no_header_can_hold_is_refused_and_not_shown() -> None:
    for kind in (Client, AsyncClient):
        for token in ("SECRET\n", "SECRET\x00", "SECRÉT"):
            with pytest.raises(ValueError, match="token") as refused:
                kind("http://127.0.0.1:1", token=token)
            assert "SECR" not in str(refused.value)


def test_errors_can_be_pickled() -> None:
    info = error_details_pb2.ErrorInfo(reason="GRAPH_NOT_FOUND", metadata={"a": "b"})
    error = LightkeepError(status(grpc.StatusCode.NOT_FOUND, "nobody", info), "call-1")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.metadata, again.request_id) == (LightkeepError, str(error), {"a": "b"}, "call-1")
    failed = pickle.loads(pickle.dumps(OperationFailed(FAILED)))
    assert (type(failed), failed.operation, failed.code) == (OperationFailed, FAILED, grpc.StatusCode.UNAVAILABLE)


def test_a_way_that_is_slow_is_waited_for() -> None:
    with serving({"GetGraph": [giving(v1.Graph(graph_id="g"))]}) as (address, _), slow_way(address) as way:
        with Client(f"http://{way}", retry=Retry(attempts=1)) as client:
            assert client.backup.GetGraph(v1.GetGraphRequest()).graph_id == "g"

"""The clients against a real server."""

import asyncio
import os
import subprocess
import sys
import uuid
from pathlib import Path

import grpc
import pytest
from conftest import TOKEN, Live

from lightkeep_client import AsyncClient, Client, LightkeepError, OperationFailed, v1


def test_the_key_is_needed(live: Live) -> None:
    for token, reason in ((None, "API_KEY_REQUIRED"), ("another", "API_KEY_INVALID")):
        with Client(live.address, token=token) as client, pytest.raises(LightkeepError) as failed:
            client.backup.GetBackupStats(v1.GetBackupStatsRequest())
        assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


def test_the_http_port_takes_calls_too(live: Live) -> None:
    with Client(live.http_address, token=TOKEN) as client:
        assert client.backup.GetBackupStats(v1.GetBackupStatsRequest()).total_graphs >= 0


def test_an_error_tells_what_the_server_tells(client: Client) -> None:
    with pytest.raises(LightkeepError) as failed:
        client.backup.GetGraph(v1.GetGraphRequest(graph_id="nobody"), metadata=[("x-request-id", "my-call")])
    error = failed.value
    assert (error.code, error.reason, error.request_id) == (grpc.StatusCode.NOT_FOUND, "GRAPH_NOT_FOUND", "my-call")
    assert "nobody" in error.message
    assert "GRAPH_NOT_FOUND" in str(error)
    with pytest.raises(LightkeepError) as failed:
        client.backup.ListGraphs(v1.ListGraphsRequest(page_size=-1))
    assert failed.value.reason == "INVALID_ARGUMENT"
    assert "page_size" in failed.value.field_violations


def test_a_snapshot_with_progress_and_back(client: Client, source: Path, graph_id: str) -> None:
    asked = client.backup.CreateSnapshot(v1.CreateSnapshotRequest(graph_id=graph_id, source_dir=str(source), wait=False))
    seen: list[v1.Operation] = []
    ended = client.wait(asked.operation_id, progress=seen.append)
    assert ended.state == v1.OPERATION_STATE_SUCCEEDED
    assert seen[-1] == ended
    snapshot = client.backup.GetSnapshot(v1.GetSnapshotRequest(graph_id=graph_id, snapshot_id=asked.backup_id))
    assert snapshot.consistency == v1.CONSISTENCY_CONSISTENT

    name = "kv_store_doc_status.json"
    content = (source / name).read_bytes()
    (source / name).write_text("{}")
    restored = client.backup.RestoreSnapshot(
        v1.RestoreSnapshotRequest(graph_id=graph_id, snapshot_id=snapshot.backup_id, target_dir=str(source))
    )
    assert restored.status == "success"
    assert (source / name).read_bytes() == content
    wanted = v1.ReadSnapshotFileRequest(graph_id=graph_id, snapshot_id=snapshot.backup_id, path=name)
    assert b"".join(part.data for part in client.backup.ReadSnapshotFile(wanted)) == content


def test_an_operation_that_fails_is_an_error(client: Client, source: Path, graph_id: str) -> None:
    graph = v1.RegisterGraphRequest(graph_id=graph_id, source_dir=str(source), inconsistent_policy=v1.INCONSISTENT_POLICY_FAIL)
    client.backup.RegisterGraph(graph)
    (source / "kv_store_text_chunks.json").write_text("{")
    asked = client.backup.CreateSnapshot(v1.CreateSnapshotRequest(graph_id=graph_id, wait=False))
    with pytest.raises(OperationFailed) as failed:
        client.wait(asked.operation_id)
    assert failed.value.reason == "SOURCE_INCONSISTENT"
    assert failed.value.operation.state == v1.OPERATION_STATE_FAILED


def test_pages_and_entries(client: Client, source: Path, graph_id: str) -> None:
    for _ in range(5):
        client.backup.CreateSnapshot(v1.CreateSnapshotRequest(graph_id=graph_id, source_dir=str(source)))
    request = v1.ListSnapshotsRequest(graph_id=graph_id, page_size=2)
    assert [len(page.snapshots) for page in client.backup.ListSnapshots.pages(request)] == [2, 2, 1]
    entries = [each.backup_id for each in client.backup.ListSnapshots.items(request)]
    assert len(set(entries)) == 5
    assert request.page_token == ""
    browsed = v1.BrowseSnapshotRequest(graph_id=graph_id, snapshot_id=entries[0], page_size=3)
    names = {each.path for each in client.backup.BrowseSnapshot.items(browsed)}
    assert "kv_store_full_docs.json" in names


def test_the_same_request_id_has_the_same_answer(client: Client, source: Path, graph_id: str) -> None:
    name = str(uuid.uuid4())
    request = v1.CreateSnapshotRequest(graph_id=graph_id, source_dir=str(source), request_id=name)
    first, again = (client.backup.CreateSnapshot(request).backup_id for _ in range(2))
    assert first == again
    request.ClearField("request_id")
    assert client.backup.CreateSnapshot(request).backup_id != first
    assert request.request_id == ""


async def test_the_same_with_asyncio(live: Live, source: Path, graph_id: str) -> None:
    async with AsyncClient(live.address, token=TOKEN) as client:
        with pytest.raises(LightkeepError) as failed:
            await client.backup.GetGraph(v1.GetGraphRequest(graph_id=graph_id))
        assert failed.value.reason == "GRAPH_NOT_FOUND"
        request = v1.CreateSnapshotRequest(graph_id=graph_id, source_dir=str(source), wait=False)
        asked = await asyncio.gather(*(client.backup.CreateSnapshot(request) for _ in range(3)))
        seen: list[v1.Operation] = []
        for each in asked:
            ended = await client.wait(each.operation_id, progress=seen.append)
            assert seen[-1] == ended
        listed = v1.ListSnapshotsRequest(graph_id=graph_id, page_size=2)
        assert [len(page.snapshots) async for page in client.backup.ListSnapshots.pages(listed)] == [2, 1]
        assert {each.backup_id async for each in client.backup.ListSnapshots.items(listed)} == {each.backup_id for each in asked}
        wanted = v1.ReadSnapshotFileRequest(graph_id=graph_id, snapshot_id=asked[0].backup_id, path="kv_store_doc_status.json")
        async with client.backup.ReadSnapshotFile(wanted) as stream:
            content = b"".join([part.data async for part in stream])
        assert content == (source / "kv_store_doc_status.json").read_bytes()
        with pytest.raises(LightkeepError) as failed:
            await client.wait(str(uuid.uuid4()))
        assert failed.value.reason == "OPERATION_NOT_FOUND"


def test_the_example_of_the_readme(live: Live, source: Path) -> None:
    here = Path(__file__).parents[1]
    readme = (here / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    assert readme in (here / "examples" / "snapshot.py").read_text()  # so that mypy sees it
    assert len(readme.splitlines()) <= 20
    environment = {"LIGHTKEEP_ADDRESS": live.address, "LIGHTKEEP_TOKEN": TOKEN, "GRAPH_DIR": str(source)}
    done = subprocess.run([sys.executable, "-c", readme], check=True, capture_output=True, text=True, env=os.environ | environment)
    assert "SNAPSHOT_STATUS_COMPLETED" in done.stdout

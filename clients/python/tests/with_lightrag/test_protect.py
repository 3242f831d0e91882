"""`protect` with the real LightRAG: what is on the disk and what is in memory after a rollback."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from conftest import ROOT, TOKEN, Live
from fakes import make_rag
from google.rpc import error_details_pb2
from lightrag import QueryParam
from lightrag.base import DocStatus
from lightrag.kg.shared_storage import finalize_share_data, get_all_update_flags_status
from resting import resting
from scripted import status

from lightkeep_client import AsyncClient, LightkeepError, OperationFailed, Protection, protect, v1

Test = Callable[[Any, AsyncClient, str], Awaitable[None]]
FIRST = "Rowan Pike repaired the Ledger at Pell Abbey. Marta Venn carried it to Dunholm."
ALL_VECTORS = {"cosine_better_than_threshold": -1.0}  # a query gives all that there are
SECOND = "Tobias Crane sold the Compass at Tern Rock. Ines Holloway described it."


@asynccontextmanager
async def opened(directory: Path, workspace: str = "") -> AsyncIterator[Any]:
    """A LightRAG with one document."""
    rag = make_rag(directory, workspace, vector_db_storage_cls_kwargs=ALL_VECTORS)
    await rag.initialize_storages()
    try:
        await rag.ainsert(FIRST, file_paths="first.txt")
        yield rag
    finally:
        await rag.finalize_storages()
        finalize_share_data()  # LightRAGs of one process have the rows of JSON stores in common, whatever their directories


def with_rag(live: Live, directory: Path, test: Test, workspace: str = "") -> None:
    async def run() -> None:
        async with opened(directory, workspace) as rag, AsyncClient(live.address, token=TOKEN) as client:
            await test(rag, client, directory.name)

    asyncio.run(run())


async def in_memory(rag: Any) -> dict[str, Any]:
    """What LightRAG itself gives, of each kind of storage."""
    documents = await rag.doc_status.get_docs_by_statuses(list(DocStatus))
    chunks = [chunk for row in documents.values() for chunk in row.chunks_list]
    nodes = await rag.chunk_entity_relation_graph.get_all_labels()
    parameters = QueryParam(mode="naive", only_need_context=True, enable_rerank=False)
    return {
        "documents": sorted(documents),
        "texts": [(await rag.full_docs.get_by_id(key))["content"] for key in sorted(documents)],
        "chunks": [row["content"] for row in await rag.text_chunks.get_by_ids(chunks)],
        "chunk vectors": sorted(row["content"] for row in await rag.chunks_vdb.query("Ledger Compass", top_k=100)),
        "entity vectors": sorted(row["entity_name"] for row in await rag.entities_vdb.query("Ledger Compass", top_k=100)),
        "relation vectors": sorted((row["src_id"], row["tgt_id"]) for row in await rag.relationships_vdb.query("x", top_k=100)),
        "nodes": sorted(nodes),
        "degrees": [await rag.chunk_entity_relation_graph.node_degree(name) for name in sorted(nodes)],
        "entity chunks": await rag.entity_chunks.get_by_ids(sorted(nodes)),
        "answer": await rag.aquery("Compass and Ledger", param=parameters),
    }


async def taken(client: AsyncClient, graph: str) -> v1.Snapshot:
    return await client.backup.CreateSnapshot(v1.CreateSnapshotRequest(graph_id=graph))


@pytest.fixture
def directory(live: Live, tmp_path: Path) -> Path:
    return live.home / tmp_path.name


def test_a_rollback_is_in_memory_too(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        before = await in_memory(rag)
        assert all(before.values())
        assert {"Rowan Pike", "Pell Abbey"} <= set(before["nodes"])
        async with protect(rag, graph, client) as protection:
            await rag.ainsert(SECOND, file_paths="second.txt")
            await rag.adelete_by_entity("Rowan Pike")
            changed = await in_memory(rag)
            assert [name for name in before if changed[name] == before[name]] == []
            assert "Compass" in str(changed["answer"])
            await protection.roll_back()
            assert await in_memory(rag) == before

        assert protection.snapshot.consistency == v1.CONSISTENCY_CONSISTENT
        assert list(protection.snapshot.tags) == ["protect"]
        # LightRAG must not write over what was restored: neither by itself, nor when it goes on.
        for storage in (rag.text_chunks, rag.doc_status, rag.entities_vdb, rag.chunk_entity_relation_graph):
            await storage.index_done_callback()
        assert (await taken(client, graph)).data_hash == protection.snapshot.data_hash
        await rag.ainsert(SECOND, file_paths="second.txt")
        again = await in_memory(rag)
        assert again["nodes"] == sorted({*changed["nodes"], "Rowan Pike"})
        after = await taken(client, graph)
        assert (after.documents, after.consistency) == (2, v1.CONSISTENCY_CONSISTENT)
        # What stood there is kept, whole.
        kept = [each async for each in client.backup.ListSnapshots.items(v1.ListSnapshotsRequest(graph_id=graph))]
        assert [each.documents for each in kept] == [2, 1, 2, 1]
        assert len(list(directory.parent.glob(f"{graph}_pre_restore_*"))) == 1

    with_rag(live, directory, test)


def test_a_workspace_beside_others(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        other = make_rag(directory, "other", vector_db_storage_cls_kwargs=ALL_VECTORS)
        await other.initialize_storages()
        await other.ainsert(SECOND, file_paths="second.txt")
        before, beside = await in_memory(rag), await in_memory(other)
        async with protect(rag, graph, client) as protection:
            await rag.adelete_by_doc_id(before["documents"][0])
            assert (await in_memory(rag))["documents"] == []
            await protection.roll_back()
        assert protection.snapshot.source_dir == str(directory / "mine")
        assert await in_memory(rag) == before
        assert await in_memory(other) == beside
        await other.finalize_storages()

    with_rag(live, directory, test, "mine")


async def content(client: AsyncClient, snapshot: v1.Snapshot, path: str) -> bytes:
    """A file of a snapshot."""
    wanted = v1.ReadSnapshotFileRequest(graph_id=snapshot.graph_id, snapshot_id=snapshot.backup_id, path=path)
    return b"".join([part.data async for part in client.backup.ReadSnapshotFile(wanted)])


async def change(rag: Any, text: str) -> None:
    """Writes that are pending in memory."""
    await rag.text_chunks.upsert({"pending": {"content": text, "full_doc_id": "d", "tokens": 1}})
    await rag.entities_vdb.upsert({"ent-x": {"content": text, "entity_name": text}})
    await rag.chunk_entity_relation_graph.upsert_node(text, {"entity_id": text})


async def assert_pending_is(rag: Any, text: str) -> None:
    assert (await rag.text_chunks.get_by_id("pending"))["content"] == text
    assert (await rag.entities_vdb.get_by_id("ent-x"))["entity_name"] == text
    assert await rag.chunk_entity_relation_graph.has_node(text)


def test_pending_writes_are_in_the_snapshot_and_those_of_the_body_are_not(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        await change(rag, "old state")
        with pytest.raises(ZeroDivisionError):
            async with protect(rag, graph, client, roll_back_on_error=True) as protection:
                await change(rag, "new state")
                raise ZeroDivisionError
        await assert_pending_is(rag, "old state")
        assert not await rag.chunk_entity_relation_graph.has_node("new state")
        # What the body has left in memory alone is kept as well.
        newest = await anext(client.backup.ListSnapshots.items(v1.ListSnapshotsRequest(graph_id=graph)))
        for name in ("kv_store_text_chunks.json", "vdb_entities.json", "graph_chunk_entity_relation.graphml"):
            assert b"new state" in await content(client, newest, name)
            assert b"new state" not in await content(client, protection.snapshot, name)
            assert b"old state" in await content(client, protection.snapshot, name)
        await rag.finalize_storages()
        for path in directory.iterdir():
            assert b"new state" not in path.read_bytes()

    with_rag(live, directory, test)


def test_what_cannot_be_written_does_not_keep_it_from_going_back(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        async def broken(*_: Any, **__: Any) -> None:
            raise ConnectionError("no embedding model, no disk")

        await change(rag, "old state")
        seen: list[v1.Operation] = []
        async with protect(rag, graph, client, progress=seen.append) as protection:
            await change(rag, "new state")
            embed, rag.entities_vdb.embedding_func.func = rag.entities_vdb.embedding_func.func, broken
            rag.text_chunks.index_done_callback = broken
            ended = await protection.roll_back()
            del rag.text_chunks.index_done_callback
            rag.entities_vdb.embedding_func.func = embed
        assert (ended.kind, ended.state) == (v1.OPERATION_KIND_RESTORE, v1.OPERATION_STATE_SUCCEEDED)
        assert {each.kind for each in seen} == {v1.OPERATION_KIND_SNAPSHOT, v1.OPERATION_KIND_RESTORE}
        await assert_pending_is(rag, "old state")
        flags = await get_all_update_flags_status(workspace=rag.workspace)
        assert [name for name, values in flags.items() if any(values)] == []

    with_rag(live, directory, test)


def test_a_body_that_is_cancelled_is_rolled_back_to_the_end(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        before = await in_memory(rag)
        changed, going_back = asyncio.Event(), asyncio.Event()
        finalize = rag.finalize_storages

        async def noted() -> None:
            await finalize()
            going_back.set()

        rag.finalize_storages = noted

        async def body() -> None:
            async with protect(rag, graph, client, roll_back_on_error=True):
                await rag.ainsert(SECOND, file_paths="second.txt")
                changed.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(body())
        await asyncio.wait_for(changed.wait(), 60)
        task.cancel()
        await asyncio.wait_for(going_back.wait(), 60)
        for _ in range(3):  # in the middle of the rollback, by one who does not like to wait
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await in_memory(rag) == before

    with_rag(live, directory, test)


STOPPING = status(grpc.StatusCode.UNAVAILABLE, "it stops", error_details_pb2.ErrorInfo(reason="SERVER_STOPPING"))
ENDS = {
    "a server that is away": LightkeepError(status(grpc.StatusCode.UNAVAILABLE, "connection refused")),
    "a server that stops": LightkeepError(STOPPING, "call-1"),
    "a stream that is reset": LightkeepError(status(grpc.StatusCode.INTERNAL, "RST_STREAM")),
    "a deadline": LightkeepError(status(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")),
    "a cancelled task": asyncio.CancelledError(),
}


@pytest.mark.parametrize("where", ["backup.RestoreSnapshot", "wait"])
@pytest.mark.parametrize("error", ENDS.values(), ids=ENDS.keys())
def test_where_it_is_not_known_what_the_server_does_the_rag_stays_closed(
    live: Live, directory: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        before = await in_memory(rag)
        async with protect(rag, graph, client) as protection:
            await rag.ainsert(SECOND, file_paths="second.txt")
            with monkeypatch.context() as patch:
                holder: Any = client.backup if where.startswith("backup") else client
                name = where.rpartition(".")[2]
                real = getattr(holder, name)

                async def lost(asked: Any, **_: Any) -> None:
                    await real(asked)  # the server does it
                    raise error

                patch.setattr(holder, name, lost)
                with pytest.raises(type(error)):
                    await protection.roll_back()
            with pytest.raises(ValueError, match="closed"):
                protect(rag, graph, client)
            # Not even a refusal says what the first has done.
            with monkeypatch.context() as patch:
                missing = v1.Snapshot(graph_id=graph, backup_id="01a212c8-6c86-75dc-980a-35d034e5e785", source_dir=str(directory))
                patch.setattr(protection, "snapshot", missing)
                with pytest.raises(LightkeepError, match="SNAPSHOT_NOT_FOUND"):
                    await protection.roll_back()
            assert rag._storages_status.name == "FINALIZED"
            await protection.roll_back()
        assert await in_memory(rag) == before
        # What the second found is what the first had restored: nothing was written over it.
        found = await anext(client.backup.ListSnapshots.items(v1.ListSnapshotsRequest(graph_id=graph)))
        assert found.data_hash == protection.snapshot.data_hash
        await rag.ainsert(SECOND, file_paths="second.txt")
        after = await taken(client, graph)
        assert (after.documents, after.consistency) == (2, v1.CONSISTENCY_CONSISTENT)

    with_rag(live, directory, test)


def test_what_progress_raises_does_not_end_a_rollback(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        before = await in_memory(rag)
        rolling_back = False

        def progress(_: v1.Operation) -> None:
            if rolling_back:
                raise ZeroDivisionError

        async with protect(rag, graph, client, progress=progress) as protection:
            await rag.ainsert(SECOND, file_paths="second.txt")
            rolling_back = True
            await protection.roll_back()
        assert await in_memory(rag) == before

    with_rag(live, directory, test)


def test_it_has_a_deadline(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        with pytest.raises(LightkeepError, match="DEADLINE_EXCEEDED"):
            async with protect(rag, graph, client, timeout=0.0):
                raise AssertionError("the body must not be run")
        async with protect(rag, graph, client) as protection:
            protection._timeout = 0.0
            with pytest.raises(LightkeepError, match="DEADLINE_EXCEEDED"):
                await protection.roll_back()

    with_rag(live, directory, test)


def test_a_neighbour_that_is_filled_meanwhile(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        other = make_rag(directory, "other")
        await other.initialize_storages()
        async with protect(rag, graph, client) as protection:
            await other.ainsert(SECOND, file_paths="second.txt")
            with pytest.raises(LightkeepError) as failed:
                await protection.roll_back()
        await other.finalize_storages()
        assert (type(failed.value), failed.value.reason) == (OperationFailed, "TARGET_CONFLICT")
        assert rag._storages_status.name == "INITIALIZED"
        assert len((await in_memory(rag))["documents"]) == 1

    with_rag(live, directory, test)


def test_a_graph_with_another_directory_is_refused(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        elsewhere = live.home / f"{graph}-elsewhere"
        elsewhere.mkdir()
        await client.backup.RegisterGraph(v1.RegisterGraphRequest(graph_id=graph, source_dir=str(elsewhere)))
        with pytest.raises(ValueError, match="elsewhere"):
            async with protect(rag, graph, client):
                raise AssertionError("the body must not be run")
        assert [each async for each in client.backup.ListSnapshots.items(v1.ListSnapshotsRequest(graph_id=graph))] == []

    with_rag(live, directory, test)


def test_a_lightrag_that_it_does_not_know_is_refused(live: Live, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        shared = sys.modules["lightrag.kg.shared_storage"]
        with monkeypatch.context() as patch:
            patch.setattr(shared, "_is_multiprocess", True)
            with pytest.raises(ValueError, match="several processes"):
                protect(rag, graph, client)
        for name in ("_init_flags", "_is_multiprocess", "clear_all_update_flags"):
            with monkeypatch.context() as patch:
                patch.delattr(shared, name)
                with pytest.raises(ValueError, match=name):
                    protect(rag, graph, client)

    with_rag(live, directory, test)


def test_without_the_wish_nothing_is_rolled_back(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        with pytest.raises(ZeroDivisionError):
            async with protect(rag, graph, client):
                await rag.ainsert(SECOND, file_paths="second.txt")
                raise ZeroDivisionError
        assert len((await in_memory(rag))["documents"]) == 2

    with_rag(live, directory, test)


def test_after_a_restore_that_fails_the_rag_goes_on(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        async with protect(rag, graph, client) as protection:
            await rag.ainsert(SECOND, file_paths="second.txt")
            changed = await in_memory(rag)
            name = v1.DeleteSnapshotRequest(graph_id=graph, snapshot_id=protection.snapshot.backup_id)
            await client.backup.DeleteSnapshot(name)
            with pytest.raises(LightkeepError) as failed:
                await protection.roll_back()
        assert failed.value.reason == "SNAPSHOT_NOT_FOUND"
        assert await in_memory(rag) == changed
        await rag.ainsert("Adela Strand kept the Lantern at Murren.", file_paths="third.txt")
        assert len((await in_memory(rag))["documents"]) == 3

    with_rag(live, directory, test)


def test_it_waits_for_the_pipeline(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        shared = sys.modules["lightrag.kg.shared_storage"]
        status = await shared.get_namespace_data("pipeline_status", workspace=rag.workspace)
        status["busy"] = True
        with pytest.raises(TimeoutError, match="busy"):
            async with protect(rag, graph, client, rest_seconds=0.2):
                raise AssertionError("the body must not be run")
        entering = asyncio.ensure_future(protect(rag, graph, client).__aenter__())
        status["busy"] = False
        assert isinstance(await entering, Protection)

    with_rag(live, directory, test)


def test_storages_elsewhere_are_refused(live: Live, directory: Path) -> None:
    class PGKVStorage:
        pass

    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        files, rag.full_docs = rag.full_docs, PGKVStorage()
        with pytest.raises(ValueError, match="PGKVStorage"):
            protect(rag, graph, client)
        rag.full_docs = files

    with_rag(live, directory, test)


def test_a_server_that_runs_is_restored_under_by_force_only(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        with resting(directory) as url:
            server = v1.LightragServer(url=url)
            await client.backup.RegisterGraph(v1.RegisterGraphRequest(graph_id=graph, source_dir=str(directory), server=server))
            before = await in_memory(rag)
            async with protect(rag, graph, client) as protection:
                await rag.ainsert(SECOND, file_paths="second.txt")
                with pytest.raises(LightkeepError) as failed:
                    await protection.roll_back()
            assert failed.value.reason == "TARGET_IN_USE"
            assert len((await in_memory(rag))["documents"]) == 2
            async with protect(rag, graph, client, force=True) as forced:
                await rag.adelete_by_doc_id(before["documents"][0])
                await forced.roll_back()
            assert len((await in_memory(rag))["documents"]) == 2

    with_rag(live, directory, test)


def example() -> ModuleType:
    path = ROOT / "clients" / "python" / "examples" / "protect.py"
    spec = importlib.util.spec_from_file_location("protect_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example(live: Live, directory: Path) -> None:
    async def test(rag: Any, client: AsyncClient, graph: str) -> None:
        nodes = (await in_memory(rag))["nodes"]
        # Dunholm is known by her alone.
        assert not await example().delete_entity(rag, "Marta Venn", live.address, TOKEN)
        assert (await in_memory(rag))["nodes"] == nodes
        assert await example().delete_entity(rag, "Rowan Pike", live.address, TOKEN)
        assert set(nodes) - set((await in_memory(rag))["nodes"]) == {"Rowan Pike"}

    with_rag(live, directory, test)

"""A snapshot before a risky change of a LightRAG, and the way back."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import grpc

from . import _rag, v1
from ._async_client import AsyncClient
from ._errors import LightkeepError, OperationFailed
from ._watch import Progress

log = logging.getLogger(__name__)
# After an answer that was lost, the next attempt can fail so: that does not say that the first was not taken.
NOT_KNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)


class Protection:
    """Made by `protect`. It is a context: the snapshot is taken when it is entered."""

    def __init__(
        self,
        rag: _rag.Rag,
        request: v1.CreateSnapshotRequest,
        client: AsyncClient,
        *,
        roll_back_on_error: bool,
        rest_seconds: float,
        force: bool,
        progress: Progress | None,
        timeout: float,
    ) -> None:
        """See `protect`."""
        self._rag, self._request, self._client, self._progress = rag, request, client, progress
        self._roll_back_on_error, self._rest_seconds, self._force, self._timeout = roll_back_on_error, rest_seconds, force, timeout
        self._closed = False  # the rag, during a rollback, and after one of which it is not known what it has done
        self.snapshot = v1.Snapshot()
        """The snapshot that was taken; empty before."""

    async def __aenter__(self) -> "Protection":
        """Takes the snapshot. LightkeepError where that fails, ValueError for another graph's directory; the body is not run then."""
        await self._check_directory()
        await _rag.rest(self._rag, self._rest_seconds)
        await _rag.flush(self._rag)
        asked = await self._client.backup.CreateSnapshot(self._request)
        await self._client.wait(asked.operation_id, progress=self._progress, timeout=self._timeout)
        taken = v1.GetSnapshotRequest(graph_id=asked.graph_id, snapshot_id=asked.backup_id)
        self.snapshot = await self._client.backup.GetSnapshot(taken)
        return self

    async def _check_directory(self) -> None:
        try:
            graph = await self._client.backup.GetGraph(v1.GetGraphRequest(graph_id=self._request.graph_id))
        except LightkeepError as error:
            if error.code != grpc.StatusCode.NOT_FOUND:
                raise
            return  # it is registered with the snapshot
        registered, ours = Path(graph.source_dir), Path(self._request.source_dir)
        if registered != ours and registered.resolve() != ours.resolve():
            raise ValueError(f"the graph {graph.graph_id} is registered with the directory {registered}, and this LightRAG works on {ours}")

    async def roll_back(self) -> v1.Operation:
        """Puts the graph back to the snapshot, files and memory. It may be called again.

        Nobody else may use the rag meanwhile. What stood there is kept: the server takes a snapshot of it before, and the directory
        stays as `<directory>_pre_restore_<UTC time>` until you delete it. LightkeepError where the restore is refused or fails: the rag
        goes on with what stood there then. Where it is not known whether the server restores, such as when it is away for longer than
        the timeout, the error is raised and the rag stays closed: use it for nothing, and call `roll_back` again. Where the caller is
        cancelled it is done all the same, before the cancellation goes on.
        """
        going_back = asyncio.ensure_future(self._roll_back())
        try:
            return await asyncio.shield(going_back)
        except asyncio.CancelledError:
            # The server would go on, and the rag would write what it has in memory over what was restored.
            while not going_back.done():
                with suppress(asyncio.CancelledError):  # the caller may be cancelled again
                    await asyncio.wait([going_back])
            raise

    async def _roll_back(self) -> v1.Operation:
        if not self._closed:
            await self._close_rag()
        was_closed, self._closed = self._closed, True
        try:
            ended = await self._restore()
        except BaseException as error:
            # What an earlier rollback has done is not known by the failure of this one.
            if not was_closed and nothing_is_restored(error):
                await self._open_rag(forget=False)
            else:
                log.error("it is not known whether %s is restored: the rag stays closed, call roll_back again", self.snapshot.graph_id)
            raise
        await self._open_rag(forget=True)
        return ended

    async def _close_rag(self) -> None:
        await _rag.rest(self._rag, self._rest_seconds)
        try:
            # So that what stood there is kept whole, and the rag can go on with it where the restore fails.
            await _rag.flush(self._rag)
        except Exception:  # what cannot be written must not keep us from going back
            log.warning("what LightRAG has in memory could not be written before the rollback", exc_info=True)
        await self._rag.finalize_storages()

    async def _open_rag(self, *, forget: bool) -> None:
        await _rag.reopen(self._rag, forget=forget)
        self._closed = False

    async def _restore(self) -> v1.Operation:
        asked = await self._client.backup.RestoreSnapshot(
            v1.RestoreSnapshotRequest(
                graph_id=self.snapshot.graph_id,
                snapshot_id=self.snapshot.backup_id,
                target_dir=self.snapshot.source_dir,
                force=self._force,
                wait=False,
            )
        )
        return await self._client.wait(asked.operation, progress=self._tell, timeout=self._timeout)

    def _tell(self, operation: v1.Operation) -> None:
        """Tells of progress. The server restores on, so an error of the caller's must not end the waiting."""
        try:
            if self._progress is not None:
                self._progress(operation)
        except Exception:
            log.warning("the progress callback has failed during the rollback", exc_info=True)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Rolls back where the body has failed and that was asked for; its error goes on to the caller."""
        if error is not None and self._roll_back_on_error:
            await self.roll_back()


def nothing_is_restored(error: BaseException) -> bool:
    """Whether that is known: the restore has ended otherwise, or the server has refused it."""
    if isinstance(error, OperationFailed):
        return True
    return isinstance(error, LightkeepError) and bool(error.request_id and error.reason) and error.code not in NOT_KNOWN


def protect(
    rag: _rag.Rag,
    graph_id: str,
    client: AsyncClient,
    *,
    source_dir: str | None = None,
    tags: Sequence[str] = ("protect",),
    roll_back_on_error: bool = False,
    rest_seconds: float = 60.0,
    force: bool = False,
    progress: Progress | None = None,
    timeout: float = 3600.0,
) -> Protection:
    """Takes a snapshot of a graph before a risky change, and offers the way back.

        async with protect(rag, "graph1", client) as protection:
            await rag.adelete_by_entity("Rowan Pike")
            if it_went_wrong:
                await protection.roll_back()

    The rag must be the only one that works on its directory: one process, file storages (JSON, NanoVectorDB, Faiss, NetworkX),
    initialized. ValueError for others.

    graph_id: a graph that is not known yet is registered.
    source_dir: the rag's directory as the server sees it, where its path is another there.
    tags: of the snapshot.
    roll_back_on_error: roll back by itself where the body raises.
    rest_seconds: how long to wait for the pipeline to come to rest; TimeoutError where it does not.
    force: restore even where the graph's registered LightRAG server runs. Set it where that server is the process of this rag.
    progress: called with the operation, at each change, while a snapshot is taken or restored.
    timeout: seconds that taking the snapshot may last, and restoring it; `math.inf` for no limit.
    """
    _rag.check(rag)
    request = v1.CreateSnapshotRequest(graph_id=graph_id, source_dir=source_dir or str(_rag.directory(rag)), tags=tags, wait=False)
    return Protection(
        rag,
        request,
        client,
        roll_back_on_error=roll_back_on_error,
        rest_seconds=rest_seconds,
        force=force,
        progress=progress,
        timeout=timeout,
    )

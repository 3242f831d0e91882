"""Takes a snapshot of a LightRAG workspace, with its progress, and lists all that there are."""

import os

from lightkeep_client import Client, LightkeepError, v1

with Client(os.environ["LIGHTKEEP_ADDRESS"], token=os.environ.get("LIGHTKEEP_TOKEN")) as client:
    try:
        client.backup.RegisterGraph(v1.RegisterGraphRequest(graph_id="graph1", source_dir=os.environ["GRAPH_DIR"]))
    except LightkeepError as error:
        if error.reason != "GRAPH_EXISTS":
            raise

    asked = client.backup.CreateSnapshot(v1.CreateSnapshotRequest(graph_id="graph1", wait=False))
    client.wait(asked.operation_id, progress=lambda seen: print(seen.stage, seen.done_bytes, "of", seen.total_bytes))

    for each in client.backup.ListSnapshots.items(v1.ListSnapshotsRequest(graph_id="graph1")):
        print(each.backup_id, v1.SnapshotStatus.Name(each.status), each.documents, "documents")

/** What runs in the browser: the web client, on a page of the same origin as REST. What it found goes to `/found`. */
import { LightkeepError, OperationState, pages } from "lightkeep-client";
import { connect } from "lightkeep-client/web";

const parameters = new URLSearchParams(location.search);
const given = (name: string) => parameters.get(name) ?? "";
const client = connect({ token: given("token") });
const graphId = "Seite-ß";

async function journey() {
  const asked = await client.backup.createSnapshot({ graphId, sourceDir: given("source"), metadata: { by: "page" }, wait: false });
  const states: string[] = [];
  await client.waitForOperation(asked.operationId, { onProgress: ({ state }) => states.push(OperationState[state]) });
  const listed: string[] = [];
  for await (const { snapshots } of pages(client.backup.listSnapshots, { graphId, pageSize: 1 })) {
    listed.push(...snapshots.map(({ backupId }) => backupId));
  }
  let bytes = 0;
  const file = { graphId, snapshotId: asked.backupId, path: "vdb_chunks.json" };
  for await (const { data } of client.backup.readSnapshotFile(file)) bytes += data.length;
  const failure = await client.backup.getGraph({ graphId: "nobody" }).catch((error: unknown) => LightkeepError.from(error));
  const reason = failure instanceof LightkeepError ? failure.reason : undefined;
  return { snapshotId: asked.backupId, listed, last: states.at(-1), bytes, reason };
}

const found = await journey().catch((error: unknown) => ({ error: String(error) }));
await fetch("/found", { method: "POST", body: JSON.stringify(found) });

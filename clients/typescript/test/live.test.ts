import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Client, InconsistentPolicy, LightkeepError, OperationState, pages, SnapshotStatus } from "lightkeep-client";
import { connect as connectByGrpc } from "lightkeep-client/node";
import { connect as connectByRest } from "lightkeep-client/web";
import { Server, TOKEN } from "./server.js";

const server = await Server.start();
const grpc = connectByGrpc({ address: server.grpc, token: TOKEN });
const rest = connectByRest({ address: `http://${server.http}`, token: TOKEN });

after(async () => {
  grpc.close();
  await server.remove();
});

/** One test for each way to the server. */
function onBoth(name: string, body: (client: Client, way: string) => Promise<void>): void {
  test(`${name}, by gRPC`, () => body(grpc, "grpc"));
  test(`${name}, by REST`, () => body(rest, "rest"));
}

function isFailure(code: string, reason: string) {
  return (error: unknown) => {
    assert.ok(error instanceof LightkeepError, String(error));
    assert.deepEqual([error.code, error.reason], [code, reason], error.message);
    assert.ok(error.requestId);
    return true;
  };
}

async function taken(client: Client, graphId: string): Promise<{ source: string; snapshotId: string }> {
  const source = await server.workspace(graphId);
  const { backupId } = await client.backup.createSnapshot({ graphId, sourceDir: source });
  return { source, snapshotId: backupId };
}

onBoth("a snapshot is asked for, waited for and restored", async (client, way) => {
  const graphId = `journey-${way}`;
  const sourceDir = await server.workspace(graphId);
  const metadata = { why: "test", depth: [1, { exact: 9007199254740991 }], nothing: null };
  const asked = await client.backup.createSnapshot({ graphId, sourceDir, metadata, tags: ["a", "b"], wait: false });
  const states: OperationState[] = [];
  const operation = await client.waitForOperation(asked.operationId, {
    onProgress: ({ state }) => states.push(state),
    timeoutMs: 60_000,
  });
  assert.equal(operation.snapshotId, asked.backupId);
  assert.equal(states.at(-1), OperationState.SUCCEEDED);
  const snapshot = await client.backup.getSnapshot({ graphId, snapshotId: asked.backupId });
  assert.equal(snapshot.status, SnapshotStatus.COMPLETED);
  assert.deepEqual([snapshot.metadata, snapshot.tags], [metadata, ["a", "b"]]);
  assert.ok(snapshot.sizeBytes > 0n && snapshot.timestamp);
  const targetDir = join(server.home, `restored-${way}`);
  await client.backup.restoreSnapshot({ graphId, snapshotId: asked.backupId, targetDir });
  const file = "kv_store_doc_status.json";
  assert.deepEqual(await readFile(join(targetDir, file)), await readFile(join(sourceDir, file)));
});

onBoth("a file is read, in parts too", async (client, way) => {
  const graphId = `file-${way}`;
  const { source, snapshotId } = await taken(client, graphId);
  const path = "vdb_chunks.json";
  const read = async (range: { offset?: bigint; length?: bigint }) => {
    const parts: Uint8Array[] = [];
    for await (const { contentType, data } of client.backup.readSnapshotFile({ graphId, snapshotId, path, ...range })) {
      if (parts.length === 0) assert.notEqual(contentType, "");
      parts.push(data);
    }
    return Buffer.concat(parts);
  };
  const whole = await readFile(join(source, path));
  assert.deepEqual(await read({}), whole);
  assert.deepEqual(await read({ offset: 10n, length: 100n }), whole.subarray(10, 110));
  await assert.rejects(read({ offset: BigInt(whole.length) + 1n }), isFailure("OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"));
});

onBoth("lists come by pages", async (client, way) => {
  const graphId = `pages-${way}`;
  const { snapshotId } = await taken(client, graphId);
  const second = await client.backup.createSnapshot({ graphId });
  const sizes: number[] = [];
  const found: string[] = [];
  for await (const { snapshots } of pages(client.backup.listSnapshots, { graphId, pageSize: 1 })) {
    sizes.push(snapshots.length);
    found.push(...snapshots.map(({ backupId }) => backupId));
  }
  assert.deepEqual(
    [sizes, found],
    [
      [1, 1],
      [second.backupId, snapshotId],
    ],
  );
});

onBoth("an update changes what its mask names, or what is set", async (client, way) => {
  const graphId = `update-${way}`;
  const sourceDir = await server.workspace(graphId);
  const inputsDir = join(server.home, `inputs-${way}`);
  await mkdir(inputsDir);
  const registered = await client.backup.registerGraph({ graphId, sourceDir, labels: { env: "test" }, inputsDir });
  assert.deepEqual(registered.labels, { env: "test" });
  const set = await client.backup.updateGraph({ graphId, graph: { inconsistentPolicy: InconsistentPolicy.FAIL }, etag: registered.etag });
  assert.deepEqual([set.inconsistentPolicy, set.labels, set.inputsDir], [InconsistentPolicy.FAIL, { env: "test" }, inputsDir]);
  const masked = await client.backup.updateGraph({
    graphId,
    graph: { labels: { a: "b" } },
    updateMask: { paths: ["labels", "inputs_dir"] },
  });
  assert.deepEqual([masked.labels, masked.inputsDir, masked.inconsistentPolicy], [{ a: "b" }, undefined, InconsistentPolicy.FAIL]);
  const late = client.backup.updateGraph({ graphId, graph: { labels: {} }, etag: registered.etag });
  await assert.rejects(late, isFailure("ABORTED", "ETAG_MISMATCH"));
});

onBoth("the same name does nothing twice", async (client, way) => {
  const graphId = `twice-${way}`;
  await taken(client, graphId);
  const request = { graphId, requestId: crypto.randomUUID() };
  const first = await client.backup.createSnapshot(request);
  assert.equal((await client.backup.createSnapshot(request)).backupId, first.backupId);
  const other = client.backup.createSnapshot({ ...request, tags: ["other"] });
  await assert.rejects(other, isFailure("ALREADY_EXISTS", "REQUEST_ID_REUSED"));
});

onBoth("failures say why", async (client, way) => {
  const { backup, operation } = client;
  await assert.rejects(backup.getGraph({ graphId: "nobody" }), isFailure("NOT_FOUND", "GRAPH_NOT_FOUND"));
  const watching = operation.watchOperation({ operationId: crypto.randomUUID() });
  await assert.rejects(watching[Symbol.asyncIterator]().next(), isFailure("NOT_FOUND", "OPERATION_NOT_FOUND"));
  await assert.rejects(client.waitForOperation(crypto.randomUUID()), isFailure("NOT_FOUND", "OPERATION_NOT_FOUND"));
  const outside = backup.registerGraph({ graphId: `outside-${way}`, sourceDir: "/etc" });
  await assert.rejects(outside, isFailure("PERMISSION_DENIED", "PATH_FORBIDDEN"));
  const placeless = backup.createSnapshot({ graphId: `placeless-${way}` });
  await assert.rejects(placeless, ({ reason, fieldViolations }: LightkeepError) => {
    assert.deepEqual([reason, fieldViolations.map(({ field }) => field)], ["REQUIRED_FIELD_MISSING", ["source_dir"]]);
    return true;
  });
  const named = backup.getGraph({ graphId: "nobody" }, { headers: { "x-request-id": "mine" } });
  await assert.rejects(named, ({ requestId }: LightkeepError) => requestId === "mine");
});

onBoth("events are followed, and a loop that is left ends the call", async (client, way) => {
  let making: Promise<unknown> | undefined;
  const options = {
    timeoutMs: 60_000,
    // From here on nothing is missed.
    onHeader: () => {
      making = taken(client, `events-${way}`);
    },
  };
  const events = client.monitoring.watchEvents({ graphId: `events-${way}` }, options);
  for await (const { graphId } of events) {
    assert.equal(graphId, `events-${way}`);
    break;
  }
  await making;
});

onBoth("a document is given with its type", async (client) => {
  const { contentType, data } = await client.monitoring.getPrometheusMetrics({});
  assert.match(contentType, /^(text\/plain|application\/openmetrics-text)/);
  assert.match(new TextDecoder().decode(data), /^# (HELP|TYPE) /m);
});

test("both ways give the same", async () => {
  const graphId = "Gleich-ß";
  const { snapshotId } = await taken(grpc, graphId);
  await grpc.backup.verifySnapshot({ graphId, snapshotId });
  await grpc.schedule.setGraphSchedule({ graphId, intervalHours: 12 });
  await grpc.recovery.createCheckpoint({ graphIds: [graphId] });
  const asked: ((client: Client) => Promise<unknown>)[] = [
    (client) => client.backup.getGraph({ graphId }),
    (client) => client.backup.listGraphs({ pageSize: 2 }),
    (client) => client.backup.getSnapshot({ graphId, snapshotId }),
    (client) => client.backup.listSnapshots({ graphId, status: SnapshotStatus.COMPLETED }),
    (client) => client.backup.browseSnapshot({ graphId, snapshotId }),
    (client) => client.backup.diffSnapshots({ graphId, snapshotId }).catch((error: unknown) => LightkeepError.from(error).reason),
    (client) => client.backup.listVerifications({ graphId, snapshotId }),
    (client) => client.retention.getRetentionPolicy({ graphId }),
    (client) => client.retention.previewRetention({ graphId, policy: { keepLast: 1n } }),
    (client) => client.recovery.listCheckpoints({}),
    (client) => client.recovery.getProbes({ graphId }),
    (client) => client.schedule.getGraphSchedule({ graphId }),
    (client) => client.schedule.listSchedules({}),
    (client) => client.operation.listOperations({ graphId, state: OperationState.SUCCEEDED }),
    (client) => client.alert.listAlertRules({ pageSize: 1000 }),
    (client) => client.monitoring.listEvents({ graphId }),
  ];
  for (const ask of asked) assert.deepEqual(await ask(rest), await ask(grpc), String(ask));
});

test("a wrong key, and none", async () => {
  const clients = (token?: string) => [
    connectByGrpc({ address: server.grpc, token }),
    connectByRest({ address: `http://${server.http}`, token }),
  ];
  for (const client of clients("wrong"))
    await assert.rejects(client.backup.listGraphs({}), isFailure("UNAUTHENTICATED", "API_KEY_INVALID"));
  for (const client of clients()) await assert.rejects(client.backup.listGraphs({}), isFailure("UNAUTHENTICATED", "API_KEY_REQUIRED"));
});

test("gRPC goes to the REST port too", async () => {
  const client = connectByGrpc({ address: `http://${server.http}`, token: TOKEN });
  assert.ok(Array.isArray((await client.backup.listGraphs({})).graphs));
  client.close();
});

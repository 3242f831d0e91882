import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport, type ConnectRouter } from "@connectrpc/connect";
import { clientOver, LightkeepError, pages } from "../src/index.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { BackupService, CreateSnapshotRequestSchema } from "../src/gen/lightkeep/v1/backup_pb.js";
import { OperationService, OperationState } from "../src/gen/lightkeep/v1/operation_pb.js";

const unavailable = () => new ConnectError("not there", Code.Unavailable);

function clientOf(routes: (router: ConnectRouter) => void, attempts = 3) {
  return clientOver(createRouterTransport(routes), { token: "secret", attempts });
}

function isFailure(code: string, reason?: string) {
  return (error: unknown) => {
    assert.ok(error instanceof LightkeepError, String(error));
    assert.deepEqual([error.code, error.reason], [code, reason]);
    return true;
  };
}

test("a read is repeated while the server is not there", async () => {
  const keys: (string | null)[] = [];
  const client = clientOf(({ service }) =>
    service(BackupService, {
      getGraph: (request, context) => {
        keys.push(context.requestHeader.get("authorization"));
        if (keys.length < 3) throw unavailable();
        return { graphId: request.graphId };
      },
    }),
  );
  assert.equal((await client.backup.getGraph({ graphId: "g" })).graphId, "g");
  assert.deepEqual(keys, ["Bearer secret", "Bearer secret", "Bearer secret"]);
});

test("a change is repeated under one name, and the caller's message stays as it is", async () => {
  const names: string[] = [];
  const client = clientOf(({ service }) =>
    service(BackupService, {
      createSnapshot: ({ requestId }) => {
        names.push(requestId);
        if (names.length % 2 === 1) throw unavailable();
        return {};
      },
    }),
  );
  const request = create(CreateSnapshotRequestSchema, { graphId: "g" });
  await client.backup.createSnapshot(request);
  await client.backup.createSnapshot(request);
  await client.backup.createSnapshot({ graphId: "g", requestId: "mine" });
  assert.equal(request.requestId, "");
  assert.match(names[0] ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual([names[1], names[3], names[4], names[5]], [names[0], names[2], "mine", "mine"]);
  assert.notEqual(names[2], names[0]);
});

test("nothing else is repeated", async () => {
  let calls = 0;
  const client = clientOf(({ service }) => {
    service(OperationService, {
      // It has no name by which a second one would be known.
      cancelOperation: () => {
        calls += 1;
        throw unavailable();
      },
    });
    service(BackupService, {
      getGraph: () => {
        calls += 1;
        throw new ConnectError("no", Code.NotFound, undefined, [{ desc: ErrorInfoSchema, value: { reason: "GRAPH_NOT_FOUND" } }]);
      },
      listGraphs: () => {
        calls += 1;
        throw unavailable();
      },
    });
  });
  await assert.rejects(client.operation.cancelOperation({}), isFailure("UNAVAILABLE"));
  await assert.rejects(client.backup.getGraph({}), isFailure("NOT_FOUND", "GRAPH_NOT_FOUND"));
  assert.equal(calls, 2);
  await assert.rejects(client.backup.listGraphs({}), isFailure("UNAVAILABLE"));
  assert.equal(calls, 5);
});

test("attempts end with the deadline and with the signal", async () => {
  const client = clientOf(
    ({ service }) =>
      service(BackupService, {
        getGraph: () => {
          throw unavailable();
        },
        listGraphs: (_, { signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              reject(ConnectError.from(signal.reason));
            });
          }),
      }),
    1_000_000,
  );
  await assert.rejects(client.backup.getGraph({}, { timeoutMs: 100 }), isFailure("UNAVAILABLE"));
  await assert.rejects(client.backup.listGraphs({}, { timeoutMs: 20 }), isFailure("DEADLINE_EXCEEDED"));
  const stop = new AbortController();
  const calling = client.backup.getGraph({}, { signal: stop.signal });
  stop.abort();
  await assert.rejects(calling, isFailure("CANCELLED"));
});

test("calls that wait for work have more time", async () => {
  const limits = new Map<string, number | undefined>();
  const client = clientOver(
    createRouterTransport(({ service }) =>
      service(BackupService, {
        createSnapshot: (request, { timeoutMs }) => {
          limits.set(`wait ${String(request.wait)}`, timeoutMs());
          return {};
        },
        deleteSnapshot: (_, { timeoutMs }) => {
          limits.set("delete", timeoutMs());
          return {};
        },
        getGraph: (_, { timeoutMs }) => {
          limits.set("get", timeoutMs());
          return {};
        },
      }),
    ),
    { timeoutMs: 10_000, workTimeoutMs: 1_000_000 },
  );
  await client.backup.createSnapshot({});
  await client.backup.createSnapshot({ wait: true });
  await client.backup.createSnapshot({ wait: false });
  await client.backup.deleteSnapshot({});
  await client.backup.getGraph({});
  const isLong = Object.fromEntries([...limits].map(([name, limit]) => [name, (limit ?? 0) > 10_000]));
  assert.deepEqual(isLong, { "wait undefined": true, "wait true": true, "wait false": false, delete: true, get: false });
  await client.backup.getGraph({}, { timeoutMs: 0 });
  assert.equal(limits.get("get"), undefined);
});

test("all pages come, one after the other", async () => {
  const client = clientOf(({ service }) =>
    service(BackupService, {
      listSnapshots: ({ graphId, pageToken }) => ({
        snapshots: [{ backupId: `${graphId}${pageToken}` }],
        nextPageToken: { "": "1", "1": "2" }[pageToken] ?? "",
      }),
    }),
  );
  const found: string[] = [];
  for await (const page of pages(client.backup.listSnapshots, { graphId: "g" })) found.push(...page.snapshots.map((one) => one.backupId));
  assert.deepEqual(found, ["g", "g1", "g2"]);
});

test("a stream is begun anew until its first message, and not behind it", async () => {
  let streams = 0;
  const client = clientOf(({ service }) =>
    service(OperationService, {
      async *watchOperation() {
        streams += 1;
        if (streams === 1) throw unavailable();
        yield await Promise.resolve({ attempt: streams });
        throw unavailable();
      },
    }),
  );
  const seen: number[] = [];
  const watching = async () => {
    for await (const { attempt } of client.operation.watchOperation({})) seen.push(attempt);
  };
  await assert.rejects(watching, isFailure("UNAVAILABLE"));
  assert.deepEqual([seen, streams], [[2], 2]);
});

test("a loop that is left ends the call", async () => {
  let ended: AbortSignal | undefined;
  const client = clientOf(({ service }) =>
    service(OperationService, {
      async *watchOperation(_, { signal }) {
        ended = signal;
        for (;;) yield await Promise.resolve({ state: OperationState.RUNNING });
      },
    }),
  );
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
  const before = timers();
  for await (const { state } of client.operation.watchOperation({}, { timeoutMs: 60_000 })) {
    assert.equal(state, OperationState.RUNNING);
    break;
  }
  assert.equal(ended?.aborted, true);
  assert.equal(timers(), before);
});

test("an operation is waited for over broken streams", async () => {
  let streams = 0;
  const client = clientOf(({ service }) =>
    service(OperationService, {
      async *watchOperation({ operationId }) {
        streams += 1;
        if (streams === 2) throw unavailable();
        yield await Promise.resolve({ operationId, state: OperationState.RUNNING, attempt: streams });
        // The first one breaks, the third one ends too early.
        if (streams === 1) throw unavailable();
        if (streams === 4) yield { operationId, state: OperationState.SUCCEEDED, attempt: streams };
      },
    }),
  );
  const seen: number[] = [];
  const operation = await client.waitForOperation("o", { onProgress: ({ attempt }) => seen.push(attempt) });
  assert.deepEqual([operation.state, seen], [OperationState.SUCCEEDED, [1, 3, 4, 4]]);
});

test("what ends the waiting is told", async () => {
  const error = {
    code: Code.FailedPrecondition,
    message: "in use",
    details: [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "TARGET_IN_USE" }))],
  };
  const client = clientOf(({ service }) =>
    service(OperationService, {
      async *watchOperation({ operationId }, { signal }) {
        if (operationId === "unknown") throw new ConnectError("no", Code.NotFound);
        yield { state: OperationState.RUNNING };
        if (operationId === "fails") yield { state: OperationState.FAILED, error };
        if (operationId === "cancelled") yield { state: OperationState.CANCELLED };
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
      },
    }),
  );
  await assert.rejects(client.waitForOperation("unknown"), isFailure("NOT_FOUND"));
  await assert.rejects(client.waitForOperation("fails"), isFailure("FAILED_PRECONDITION", "TARGET_IN_USE"));
  await assert.rejects(client.waitForOperation("cancelled"), isFailure("CANCELLED", "OPERATION_CANCELLED"));
  await assert.rejects(client.waitForOperation("endless", { timeoutMs: 100 }), isFailure("DEADLINE_EXCEEDED"));
  const stop = new AbortController();
  const stopped = client.waitForOperation("endless", {
    signal: stop.signal,
    onProgress: () => {
      stop.abort();
    },
  });
  await assert.rejects(stopped, isFailure("CANCELLED"));
  const thrown = client.waitForOperation("endless", {
    onProgress: () => {
      throw new RangeError("mine");
    },
  });
  await assert.rejects(thrown, RangeError);
});

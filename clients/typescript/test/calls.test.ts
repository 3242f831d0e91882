import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport, type ConnectRouter, type Transport } from "@connectrpc/connect";
import { clientOver, LightkeepError, pages } from "../src/index.js";
import { BadRequestSchema, ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { BackupService, CreateSnapshotRequestSchema } from "../src/gen/lightkeep/v1/backup_pb.js";
import { OperationService, OperationState } from "../src/gen/lightkeep/v1/operation_pb.js";
import { ReplicationService } from "../src/gen/lightkeep/v1/replication_pb.js";

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

test("what changes nothing more is repeated without a name", async () => {
  let calls = 0;
  const client = clientOf(({ service }) =>
    service(OperationService, {
      cancelOperation: ({ operationId }) => {
        calls += 1;
        if (calls === 1) throw unavailable();
        return { operationId };
      },
    }),
  );
  assert.equal((await client.operation.cancelOperation({ operationId: "o" })).operationId, "o");
  assert.equal(calls, 2);
});

test("a server that cannot work now is asked again, an outcome is not", async () => {
  let calls = 0;
  const client = clientOf(({ service }) =>
    service(BackupService, {
      getGraph: ({ graphId: reason }) => {
        calls += 1;
        throw new ConnectError("not now", Code.Unavailable, undefined, [{ desc: ErrorInfoSchema, value: { reason } }]);
      },
    }),
  );
  const callsFor = async (reason: string) => {
    calls = 0;
    await assert.rejects(client.backup.getGraph({ graphId: reason }), isFailure("UNAVAILABLE", reason));
    return calls;
  };
  assert.equal(await callsFor("SERVER_STOPPING"), 3);
  assert.equal(await callsFor("DATABASE_UNAVAILABLE"), 3);
  assert.equal(await callsFor("TARGET_UNREACHABLE"), 1);
});

test("nothing else is repeated", async () => {
  let calls = 0;
  const client = clientOf(({ service }) => {
    service(ReplicationService, {
      // It has no name by which a second one would be known.
      verifyReplica: () => {
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
  await assert.rejects(client.replication.verifyReplica({}), isFailure("UNAVAILABLE"));
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
  // The header has 8 digits: a server ignores more.
  await client.backup.getGraph({}, { timeoutMs: 99_999_999 });
  assert.ok((limits.get("get") ?? 0) > 99_000_000);
  await client.backup.getGraph({}, { timeoutMs: 100_000_000 });
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

test("a stream is begun anew until it is answered, and not behind that", async () => {
  let streams = 0;
  const inner = createRouterTransport(({ service }) =>
    service(OperationService, {
      // It breaks before its first message: what would have been in it is in no second stream.
      async *watchOperation() {
        await Promise.resolve();
        throw unavailable();
      },
    }),
  );
  const transport: Transport = {
    unary: inner.unary.bind(inner),
    stream: (...call) => {
      streams += 1;
      return streams === 1 ? Promise.reject(unavailable()) : inner.stream(...call);
    },
  };
  const client = clientOver(transport, { attempts: 5 });
  const watching = async () => {
    for await (const { operationId } of client.operation.watchOperation({})) assert.fail(operationId);
  };
  await assert.rejects(watching, isFailure("UNAVAILABLE"));
  assert.equal(streams, 2);
});

test("a limit that the server cannot be told is kept too", async () => {
  let begun: (() => void) | undefined;
  const beginning = new Promise<void>((resolve) => (begun = resolve));
  const client = clientOf(({ service }) =>
    service(BackupService, {
      getGraph: (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reject(ConnectError.from(signal.reason));
          });
          begun?.();
        }),
    }),
  );
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const late = assert.rejects(client.backup.getGraph({}, { timeoutMs: 100_000_000 }), isFailure("DEADLINE_EXCEEDED"));
    await beginning;
    mock.timers.tick(100_000_000);
    await late;
  } finally {
    mock.timers.reset();
  }
});

test("a token that no header can hold is refused without being written", () => {
  for (const token of ["SECRET\n", "SE\u0000CRET", "SECR\u00c9T"]) {
    assert.throws(
      () =>
        clientOver(
          createRouterTransport(() => undefined),
          { token },
        ),
      (error) => isFailure("INVALID_ARGUMENT")(error) && !/SE|CRET/.test(String(error)),
    );
  }
});

test("a failure has what the server says beside the reason", async () => {
  const details = [
    { desc: ErrorInfoSchema, value: { reason: "FIELD_INVALID", metadata: { size_bytes: "7" } } },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "graph.source_dir", description: "is empty" }] } },
  ];
  const client = clientOf(({ service }) =>
    service(BackupService, {
      getGraph: () => {
        throw new ConnectError("no", Code.InvalidArgument, undefined, details);
      },
      listGraphs: () => {
        throw new ConnectError("no", Code.InvalidArgument);
      },
    }),
  );
  await assert.rejects(client.backup.getGraph({}), ({ metadata, fieldViolations }: LightkeepError) => {
    assert.deepEqual([metadata, fieldViolations], [{ size_bytes: "7" }, [{ field: "graph.source_dir", description: "is empty" }]]);
    return true;
  });
  await assert.rejects(client.backup.listGraphs({}), ({ metadata, fieldViolations }: LightkeepError) => {
    assert.deepEqual([metadata, fieldViolations], [{}, []]);
    return true;
  });
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

test("an operation is waited for while the server is away, and over streams that something between breaks", async () => {
  let streams = 0;
  const client = clientOf(
    ({ service }) =>
      service(OperationService, {
        async *watchOperation({ operationId }) {
          streams += 1;
          if (streams === 3) throw unavailable();
          yield await Promise.resolve({ operationId, state: streams === 4 ? OperationState.SUCCEEDED : OperationState.RUNNING });
          throw streams === 1 ? new ConnectError("missing status", Code.Internal) : new ConnectError("reset", Code.Unknown);
        },
      }),
    // The number of attempts does not limit it.
    1,
  );
  assert.equal((await client.waitForOperation("o")).state, OperationState.SUCCEEDED);
  assert.equal(streams, 4);
});

test("an operation that the server fails to show is not waited for", async () => {
  const client = clientOf(({ service }) =>
    service(OperationService, {
      async *watchOperation({ operationId }) {
        if (operationId === "hidden") throw new ConnectError("cannot be asked", Code.Internal);
        yield await Promise.resolve({ operationId, state: OperationState.RUNNING });
        throw new ConnectError("no", Code.Internal, undefined, [{ desc: ErrorInfoSchema, value: { reason: "INTERNAL" } }]);
      },
    }),
  );
  await assert.rejects(client.waitForOperation("shown"), isFailure("INTERNAL", "INTERNAL"));
  await assert.rejects(client.waitForOperation("hidden"), isFailure("INTERNAL"));
});

test("an operation is waited for an hour", async () => {
  const client = clientOf(({ service }) =>
    service(OperationService, {
      async *watchOperation(_, { signal }) {
        yield { state: OperationState.RUNNING };
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
      },
    }),
  );
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let seen: (() => void) | undefined;
    const seeing = new Promise<void>((resolve) => (seen = resolve));
    const late = assert.rejects(client.waitForOperation("o", { onProgress: () => seen?.() }), isFailure("DEADLINE_EXCEEDED"));
    await seeing;
    mock.timers.tick(3_600_000);
    await late;
  } finally {
    mock.timers.reset();
  }
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

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mock, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import {
  BackupService,
  CreateSnapshotRequestSchema,
  ListSnapshotsRequestSchema,
  ReadSnapshotFileRequestSchema,
  SnapshotStatus,
  UpdateGraphRequestSchema,
} from "../src/gen/lightkeep/v1/backup_pb.js";
import { ListOperationsRequestSchema, OperationService, OperationState } from "../src/gen/lightkeep/v1/operation_pb.js";
import type { CallOptions } from "../src/calls.js";
import { LightkeepError } from "../src/errors.js";
import { events } from "../src/rest/events.js";
import { answers, refusal } from "../src/rest/answer.js";
import { restRequest } from "../src/rest/request.js";
import { connect } from "../src/web.js";

const GRAPHS = "/api/backup/backup/graphs";

test("the path has its fields, the query the rest", () => {
  const request = create(ListSnapshotsRequestSchema, { graphId: "Öl & x", status: SnapshotStatus.FAILED, pageToken: "a+b" });
  const { verb, target, body } = restRequest(BackupService.method.listSnapshots, request);
  const url = new URL(target, "http://x");
  assert.deepEqual([verb, body, url.pathname], ["GET", undefined, `${GRAPHS}/%C3%96l%20%26%20x/snapshots`]);
  // With it one page is answered, not all.
  assert.deepEqual(Object.fromEntries(url.searchParams), { status: "failed", page_token: "a+b", page_size: "0" });
  // An answer that has its token in itself needs no help.
  const operations = create(ListOperationsRequestSchema, { state: OperationState.QUEUED, createdFrom: { seconds: 1n } });
  assert.equal(
    restRequest(OperationService.method.listOperations, operations).target,
    "/api/operations?state=queued&created_from=1970-01-01T00%3A00%3A01Z",
  );
});

test("the body is all that is left, or one field", () => {
  const snapshot = create(CreateSnapshotRequestSchema, { graphId: "g", wait: false, tags: ["x"] });
  const whole = restRequest(BackupService.method.createSnapshot, snapshot);
  assert.deepEqual([whole.verb, whole.target], ["POST", `${GRAPHS}/g/snapshots`]);
  assert.deepEqual(JSON.parse(whole.body ?? ""), { wait: false, tags: ["x"] });
  const update = create(UpdateGraphRequestSchema, { graphId: "g", graph: { sourceDir: "/x" }, updateMask: { paths: ["source_dir"] } });
  const field = restRequest(BackupService.method.updateGraph, update);
  assert.deepEqual([field.verb, field.target, field.body], ["PATCH", `${GRAPHS}/g?update_mask=source_dir`, '{"source_dir":"/x"}']);
});

test("no field leads to another address", () => {
  const address = (snapshotId: string, path: string) =>
    restRequest(BackupService.method.readSnapshotFile, create(ReadSnapshotFileRequestSchema, { graphId: "g", snapshotId, path })).target;
  assert.equal(address("a/b", "x/ä.json"), `${GRAPHS}/g/snapshots/a%2Fb/files/x/%C3%A4.json`);
  for (const [snapshotId, path] of [
    ["", "x"],
    ["..", "x"],
    [".", "x"],
    ["s", "x/../y"],
    ["s", "x//y"],
    ["s", ""],
  ] as const) {
    assert.throws(() => address(snapshotId, path), /cannot be in a path/, `${snapshotId} ${path}`);
  }
});

test("events are the same wherever the chunks end", async () => {
  const text = ': comment\n\ndata: {"a":"ä"}\r\n\r\nevent: error\ndata:one\ndata: two\n\ndata: not whole\n';
  const bytes = new TextEncoder().encode(text);
  for (let size = 1; size <= bytes.length; size += 1) {
    const chunks = (async function* () {
      for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
    })();
    const found = [];
    for await (const event of events(chunks)) found.push(event);
    assert.deepEqual(found, [
      { event: "message", data: '{"a":"ä"}' },
      { event: "error", data: "one\ntwo" },
    ]);
  }
});

test("errors say code, reason, sentence and name", async () => {
  const errorOf = async (status: number, body: string) => LightkeepError.from(await refusal(new Response(body, { status })));
  const plain = await errorOf(404, '{"detail":"no graph","code":"NOT_FOUND","reason":"GRAPH_NOT_FOUND","request_id":"r1"}');
  assert.deepEqual([plain.code, plain.reason, plain.message, plain.requestId], ["NOT_FOUND", "GRAPH_NOT_FOUND", "no graph", "r1"]);
  const violations = [{ type: "missing", loc: ["body", "source_dir"], msg: "Field required", input: {} }];
  const form = await errorOf(
    422,
    JSON.stringify({ detail: violations, code: "INVALID_ARGUMENT", reason: "BODY_INVALID", request_id: "r2" }),
  );
  assert.deepEqual([form.code, form.message], ["INVALID_ARGUMENT", "body.source_dir: Field required"]);
  assert.deepEqual(form.fieldViolations, [{ field: "source_dir", description: "Field required" }]);
  const proxy = await errorOf(502, "<h1>Bad Gateway</h1>");
  assert.deepEqual([proxy.code, proxy.reason, proxy.requestId], ["UNAVAILABLE", undefined, undefined]);
});

test("a call ends with its time or by its signal, whatever the server does", async () => {
  // It takes calls, and says the beginning of an answer or nothing at all.
  const silent = createServer((incoming, outgoing) => {
    if (incoming.url?.endsWith("/watch")) outgoing.writeHead(200).flushHeaders();
  });
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  try {
    const client = connect({ address: `http://127.0.0.1:${(silent.address() as AddressInfo).port.toString()}/` });
    const calls = [
      (options: CallOptions) => client.backup.getGraph({ graphId: "g" }, options),
      async (options: CallOptions) => {
        for await (const operation of client.operation.watchOperation({ operationId: "o" }, options)) assert.fail(operation.operationId);
      },
    ];
    for (const call of calls) {
      await assert.rejects(call({ timeoutMs: 50 }), ({ code }: LightkeepError) => code === "DEADLINE_EXCEEDED");
      const signal = AbortSignal.timeout(50);
      await assert.rejects(call({ signal }), ({ code }: LightkeepError) => code === "CANCELLED");
    }
  } finally {
    silent.closeAllConnections();
    silent.close();
  }
});

test("a stream that falls silent ends, one that is kept alive does not", async () => {
  let stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      stream = controller;
    },
    cancel: () => {
      isCancelled = true;
    },
  });
  const say = (text: string) => stream?.enqueue(new TextEncoder().encode(text));
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const states = answers(OperationService.method.watchOperation, new Response(body));
    const nextState = async () => {
      const next = await states.next();
      assert.ok(!next.done);
      return next.value.state;
    };
    say('data: {"operation_id":"o","state":"running"}\n\n');
    assert.equal(await nextState(), OperationState.RUNNING);
    const next = nextState();
    await settled();
    mock.timers.tick(59_000);
    say(":\n\n");
    await settled();
    mock.timers.tick(59_000);
    say('data: {"operation_id":"o","state":"succeeded"}\n\n');
    assert.equal(await next, OperationState.SUCCEEDED);
    const silent = assert.rejects(states.next(), ({ code }: ConnectError) => code === Code.Unavailable);
    await settled();
    mock.timers.tick(60_000);
    await silent;
    assert.ok(isCancelled);
  } finally {
    mock.timers.reset();
  }
});

test("what is no address is refused at once", () => {
  // Here is no page.
  for (const address of [undefined, "", "/lightkeep", "localhost:8080", "ftp://user:PASSWORD@x"]) {
    const isRefused = ({ code, message }: LightkeepError) => code === "INVALID_ARGUMENT" && !message.includes("PASSWORD");
    assert.throws(() => connect({ address }), isRefused, String(address));
  }
});

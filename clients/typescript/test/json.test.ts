import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CreateSnapshotRequestSchema,
  SnapshotSchema,
  SnapshotStatus,
  UpdateGraphRequestSchema,
} from "../src/gen/lightkeep/v1/backup_pb.js";
import { OperationSchema } from "../src/gen/lightkeep/v1/operation_pb.js";
import { SetCopiesPolicyRequestSchema } from "../src/gen/lightkeep/v1/replication_pb.js";
import { parse, read, write } from "../src/rest/json.js";

test("enums are short words, and null is what is not set", () => {
  const snapshot = read(SnapshotSchema, {
    status: "in_progress",
    data_hash: null,
    findings: [{ severity: "in_flight" }],
    consistency: null,
  });
  assert.equal(snapshot.status, SnapshotStatus.IN_PROGRESS);
  assert.equal(snapshot.dataHash, undefined);
  assert.deepEqual(write(SnapshotSchema, snapshot), { status: "in_progress", findings: [{ severity: "in_flight" }] });
});

test("words and members that a newer server may send are left out", () => {
  const snapshot = read(SnapshotSchema, { status: "evaporated", backup_id: "b", colour: "blue" });
  assert.equal(snapshot.status, SnapshotStatus.UNSPECIFIED);
  assert.equal(snapshot.backupId, "b");
});

test("64-bit integers are exact", () => {
  const longest = "9223372036854775807";
  const json = parse(`{"size_bytes": ${longest}, "backup_id": "${longest}", "duration_seconds": 1234567890123456.5, "documents": 7}`);
  const snapshot = read(SnapshotSchema, json);
  assert.equal(snapshot.sizeBytes, BigInt(longest));
  assert.equal(snapshot.backupId, longest);
  assert.equal(snapshot.durationSeconds, 1234567890123456.5);
  assert.equal(snapshot.documents, 7n);
  assert.equal(write(SnapshotSchema, snapshot)["size_bytes"], longest);
});

test("free JSON comes back as it was", () => {
  const metadata = { a: [1, "x", null, { b: true }], inProgress: "SNAPSHOT_STATUS_FAILED", "1": "1234567890123456789" };
  const text = JSON.stringify({ graph_id: "g", metadata, wait: false });
  assert.deepEqual(write(CreateSnapshotRequestSchema, read(CreateSnapshotRequestSchema, parse(text))), JSON.parse(text));
  const long = read(CreateSnapshotRequestSchema, parse('{"metadata": {"long": 12345678901234567890}}'));
  assert.equal(long.metadata?.["long"], 12345678901234567000);
});

test("field masks have the proto's names", () => {
  const update = create(UpdateGraphRequestSchema, { graphId: "g", updateMask: { paths: ["source_dir", "labels"] } });
  assert.deepEqual(write(UpdateGraphRequestSchema, update), { graph_id: "g", update_mask: "source_dir,labels" });
});

test("what must be said is said also where it is zero", () => {
  assert.deepEqual(write(SetCopiesPolicyRequestSchema, create(SetCopiesPolicyRequestSchema)), { graph_id: "", copies: 0 });
});

test("a status has its code as a word", () => {
  const operation = read(OperationSchema, { error: { code: "DATA_LOSS", message: "gone" }, created_at: "2026-01-31T12:00:00.5Z" });
  assert.equal(operation.error?.code, 15);
  assert.equal(operation.error.message, "gone");
  assert.equal(operation.createdAt?.nanos, 500_000_000);
});

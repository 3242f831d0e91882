import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { create, type DescEnum, type DescField, type DescMethod, type DescService, getOption, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import * as lightkeep from "lightkeep-client";
import { connect as connectByGrpc } from "lightkeep-client/node";
import { connect as connectByRest } from "lightkeep-client/web";
import { http } from "../src/gen/google/api/annotations_pb.js";
import { field_behavior, FieldBehavior } from "../src/gen/google/api/field_behavior_pb.js";
import { httpRule } from "../src/http-rule.js";
import { PROJECT, ROOT, Server, TOKEN } from "./server.js";

/** For other Lightkeeps: it needs a peer key. */
const NOT_PUBLIC = ["ReplicaService"];

/** The server's own, made from no proto. */
const OWN_PATHS = ["/health", "/healthz", "/readyz", "/openapi.json"];

const server = await Server.start();
const ways = [
  ["grpc", connectByGrpc({ address: server.grpc, token: TOKEN, attempts: 1 })],
  ["rest", connectByRest({ address: `http://${server.http}`, token: TOKEN, attempts: 1 })],
] as const;
after(async () => {
  ways[0][1].close();
  await server.remove();
});

/** All services that this package knows. */
const services = Object.values(lightkeep).filter(
  (value): value is DescService & typeof value => typeof value === "object" && "kind" in value && value.kind === "service",
) as DescService[];
const methods = services.flatMap(({ methods }) => methods);

/** Services and their RPCs, as the proto files say them. */
async function protoRpcs(): Promise<Map<string, string[]>> {
  const folder = join(PROJECT, "proto/lightkeep/v1");
  const found = new Map<string, string[]>();
  for (const name of await readdir(folder)) {
    let service = "";
    for (const [, keyword, word = ""] of (await readFile(join(folder, name), "utf8")).matchAll(/^\s*(service|rpc) (\w+)/gm)) {
      if (keyword === "service") found.set((service = word), []);
      else found.get(service)?.push(word);
    }
  }
  return found;
}

const lowerFirst = (text: string) => text.replace(/^./, (letter) => letter.toLowerCase());

type AnyCall = (request: object, options: lightkeep.CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

/** The method of a client for an RPC. */
function callOf(client: lightkeep.Client, service: string, rpc: string): AnyCall | undefined {
  const members = client as unknown as Record<string, Record<string, AnyCall> | undefined>;
  return members[lowerFirst(service.replace(/Service$/, ""))]?.[lowerFirst(rpc)];
}

test("every RPC of every public service has its method on both ways", async () => {
  const rpcs = await protoRpcs();
  assert.ok([...rpcs.values()].flat().length > 90);
  for (const [service, names] of rpcs) {
    for (const name of names) {
      for (const [way, client] of ways) {
        const is = typeof callOf(client, service, name);
        assert.equal(is, NOT_PUBLIC.includes(service) ? "undefined" : "function", `${service}/${name} by ${way}`);
      }
    }
  }
});

test("every RPC is answered, and in the same way by both", async () => {
  const answers = async (client: lightkeep.Client, method: DescMethod): Promise<string> => {
    const call = callOf(client, method.parent.name, method.name);
    assert.ok(call);
    const stop = new AbortController();
    // A stream that begins has been answered.
    const onHeader = () => {
      if (method.methodKind !== "unary") stop.abort();
    };
    try {
      const answer = call(filled(method), { signal: stop.signal, onHeader, timeoutMs: 60_000 });
      if (Symbol.asyncIterator in answer) for await (const message of answer) assert.ok(message);
      else await answer;
      return "OK";
    } catch (error) {
      const { code, reason, message } = lightkeep.LightkeepError.from(error);
      if (stop.signal.aborted) return "OK";
      assert.ok(!["UNIMPLEMENTED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"].includes(code), `${method.name}: ${code} ${message}`);
      assert.ok(!["PATH_UNKNOWN", "METHOD_NOT_ALLOWED"].includes(reason ?? ""), `${method.name}: ${reason ?? ""}`);
      return code;
    }
  };
  for (const method of methods) {
    assert.equal(await answers(ways[1][1], method), await answers(ways[0][1], method), method.name);
  }
});

/** A request of an RPC in which all texts that must be there are there. */
function filled(method: DescMethod): object {
  const message = create(method.input);
  const fields = reflect(method.input, message);
  for (const field of method.input.fields.filter(isRequired)) {
    if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING) continue;
    fields.set(field, field.name.endsWith("_id") ? "01a212c8-6c5c-77a2-9921-fef4ec2fabc8" : "nobody");
  }
  return message;
}

function behaves(field: DescField, behavior: FieldBehavior): boolean {
  return getOption(field, field_behavior).includes(behavior);
}

const isRequired = (field: DescField) => behaves(field, FieldBehavior.REQUIRED);

interface OpenApi {
  paths: Record<string, Record<string, unknown>>;
}

test("the rules are those of the server's OpenAPI document", async () => {
  const answer = await fetch(`http://${server.http}/openapi.json`);
  const { paths } = (await answer.json()) as OpenApi;
  const verbs = ["get", "put", "post", "delete", "patch"];
  const described = Object.entries(paths)
    .filter(([path]) => !OWN_PATHS.includes(path))
    .flatMap(([path, operations]) => verbs.filter((verb) => verb in operations).map((verb) => `${verb.toUpperCase()} ${path}`));
  const rules = methods.flatMap((method) => {
    const { verb, path } = httpRule(method);
    const others = getOption(method, http).additionalBindings.map(({ pattern }) => {
      assert.ok(pattern.case && pattern.case !== "custom");
      return `${pattern.case.toUpperCase()} ${pattern.value}`;
    });
    return [`${verb} ${path}`, ...others].map((rule) => rule.replace("=**", ""));
  });
  assert.deepEqual(rules.sort(), described.sort());
});

test("what goes into a query has a form there", () => {
  for (const method of methods) {
    const { path, body } = httpRule(method);
    if (body === "*") continue;
    const inQuery = method.input.fields.filter(({ name }) => name !== body && !path.includes(`{${name}`));
    for (const field of inQuery) {
      const where = `${method.name}: ${field.name}`;
      assert.notEqual(field.fieldKind, "map", where);
      assert.ok(!behaves(field, FieldBehavior.INPUT_ONLY), `${where} is secret`);
      const isPlain = field.message === undefined || field.message.typeName.startsWith("google.protobuf.");
      assert.ok(isPlain || field.fieldKind !== "list", where);
    }
  }
});

test("the words of all enums are those of the server", () => {
  const enums = Object.values(lightkeep).filter(
    (value) => typeof value === "object" && "kind" in value && value.kind === "enum",
  ) as DescEnum[];
  assert.ok(enums.length > 20);
  for (const { name, sharedPrefix, values } of enums) {
    // The server takes the enum's own name off, here it is what the values share.
    assert.equal(sharedPrefix, `${name.replace(/(?<=[a-z0-9])[A-Z]/g, "_$&").toLowerCase()}_`);
    assert.equal(values[0]?.name.toLowerCase(), `${sharedPrefix}unspecified`);
  }
});

test("what is an update says only what changes", () => {
  for (const method of methods) {
    const { verb, body } = httpRule(method);
    if (verb !== "PATCH") continue;
    const changed = method.input.fields.find(({ name }) => name === body)?.message;
    assert.ok(changed, method.name);
    // They would be said where they are zero, too, and be changed.
    assert.ok(!changed.fields.some(isRequired), method.name);
  }
});

test("made again, the generated code is the same", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lightkeep-generated-"));
  try {
    await promisify(execFile)(join(ROOT, "node_modules/.bin/buf"), ["generate", "--output", folder], { cwd: ROOT, env: withBins() });
    const files = async (root: string) => {
      const entries = await readdir(root, { recursive: true, withFileTypes: true });
      const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
      return Promise.all(paths.sort().map(async (path) => [path.slice(root.length), await readFile(path, "utf8")]));
    };
    const again = await files(join(folder, "src/gen"));
    assert.ok(again.length > 10);
    assert.deepEqual(again, await files(join(ROOT, "src/gen")));
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** buf looks for its plugin in the path, as npm sets it. */
function withBins(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${join(ROOT, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` };
}

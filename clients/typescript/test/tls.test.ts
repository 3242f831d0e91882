import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect as dial } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import type { LightkeepError } from "lightkeep-client";
import { connect } from "lightkeep-client/node";
import { Server, TOKEN } from "./server.js";

const server = await Server.start();
const [key, cert] = await certificate(server.home);

/** What an operator puts before the server. */
const proxy = createServer({ key, cert, ALPNProtocols: ["h2"] }, (outside) => {
  const inside = dial(Number(server.grpc.split(":")[1]), "127.0.0.1");
  // Either side may go first.
  inside.on("error", () => outside.destroy());
  outside.on("error", () => inside.destroy());
  outside.pipe(inside).pipe(outside);
});
const open = new Set<TLSSocket>();
proxy.on("secureConnection", (socket: TLSSocket) => open.add(socket));
proxy.listen(0, "127.0.0.1");
await once(proxy, "listening");
const port = (proxy.address() as AddressInfo).port.toString();

after(async () => {
  for (const socket of open) socket.destroy();
  proxy.close();
  await server.remove();
});

/** A key, and a certificate of `lightkeep.test` that vouches for itself. */
async function certificate(folder: string): Promise<[Buffer, Buffer]> {
  const [keyFile, certFile] = [join(folder, "tls.key"), join(folder, "tls.crt")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const name = ["-subj", "/CN=lightkeep.test", "-addext", "subjectAltName=DNS:lightkeep.test"];
  await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...name, "-keyout", keyFile, "-out", certFile]);
  return [await readFile(keyFile), await readFile(certFile)];
}

test("by TLS, with an authority of one's own", async () => {
  const client = connect({ address: `127.0.0.1:${port}`, token: TOKEN, tls: { ca: cert, servername: "lightkeep.test" } });
  assert.deepEqual((await client.backup.listGraphs({})).graphs, []);
  client.close();
});

test("a certificate that nobody vouches for, and one of another name, are refused", async () => {
  const unknown = connect({ address: `https://127.0.0.1:${port}`, token: TOKEN, attempts: 1 });
  await assert.rejects(unknown.backup.listGraphs({}), ({ message }: LightkeepError) => /self[- ]signed/.test(message));
  const other = connect({ address: `127.0.0.1:${port}`, token: TOKEN, tls: { ca: cert, servername: "other.test" }, attempts: 1 });
  await assert.rejects(other.backup.listGraphs({}), ({ message }: LightkeepError) => message.includes("other.test"));
});

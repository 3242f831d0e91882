import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, request as ask, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { build } from "esbuild";
import { ROOT, Server, TOKEN } from "./server.js";

/** How long the browser may take, milliseconds. */
const PATIENCE_MS = 120_000;

const server = await Server.start();
after(() => server.remove());

async function bundle(): Promise<{ script: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(ROOT, "build/test/page.js")],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    metafile: true,
    write: false,
  });
  const script = outputFiles[0]?.text ?? "";
  return { script, inputs: Object.keys(metafile.inputs) };
}

test("for the browser nothing of Node is needed", async () => {
  const { script, inputs } = await bundle();
  assert.ok(inputs.some((path) => path.endsWith("dist/web.js")));
  assert.deepEqual(
    inputs.filter((path) => /connect-node|dist\/node\.js/.test(path)),
    [],
  );
  assert.doesNotMatch(script, /["']node:/);
});

test("a page works with the server", async () => {
  const { script } = await bundle();
  const site = createServer((incoming, outgoing) => {
    if (incoming.url === "/page.js") answer(outgoing, "text/javascript", script);
    else if (incoming.url === "/found") void text(incoming).then((body) => site.emit("found", body));
    else if (incoming.url?.startsWith("/api/")) passOn(incoming, outgoing);
    else answer(outgoing, "text/html", '<!doctype html><script type="module" src="/page.js"></script>');
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  const source = await server.workspace("page");
  const query = new URLSearchParams({ token: TOKEN, source }).toString();
  const browser = visit(`http://127.0.0.1:${(site.address() as AddressInfo).port.toString()}/?${query}`);
  try {
    const [found] = (await once(site, "found", { signal: AbortSignal.timeout(PATIENCE_MS) })) as [string];
    const { snapshotId, ...rest } = JSON.parse(found) as Record<string, unknown>;
    const { size } = await stat(join(source, "vdb_chunks.json"));
    assert.deepEqual(rest, { listed: [snapshotId], last: "SUCCEEDED", bytes: size, reason: "GRAPH_NOT_FOUND" });
  } finally {
    browser.kill();
    await once(browser, "exit");
    site.closeAllConnections();
    site.close();
  }
});

function visit(address: string): ChildProcess {
  const profile = `--user-data-dir=${join(server.home, "chromium")}`;
  return spawn("chromium", ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", profile, address], {
    stdio: "ignore",
  });
}

function answer(outgoing: ServerResponse, type: string, body: string): void {
  outgoing.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
}

/** To REST, as a proxy of an operator does. */
function passOn(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const [host, port] = server.http.split(":");
  const { url, method, headers } = incoming;
  const inner = ask({ host, port, path: url, method, headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(outgoing);
  });
  incoming.pipe(inner);
}

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { ROOT, Server, TOKEN } from "./server.js";

const server = await Server.start();
after(() => server.remove());

test("the example of the README works, twice too", async () => {
  const lines = (await readFile(join(ROOT, "test/readme_example.ts"), "utf8")).trimEnd().split("\n");
  assert.ok(lines.length <= 20, `${lines.length.toString()} lines`);
  const env = {
    ...process.env,
    LIGHTKEEP_ADDRESS: `http://${server.grpc}`,
    LIGHTKEEP_TOKEN: TOKEN,
    SOURCE_DIR: await server.workspace("rag_storage"),
  };
  for (const snapshots of [1, 2]) {
    const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, "build/test/readme_example.js")], { env });
    assert.match(stdout, /: \d+ bytes$/m);
    assert.equal(stdout.match(/^[0-9a-f-]{36} \d+n 1$/gm)?.length, snapshots, stdout);
  }
});

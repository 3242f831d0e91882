import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { PROJECT, ROOT } from "./server.js";

test("the package has the licence, the README and what is imported", async () => {
  const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: ROOT });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const path of ["LICENSE", "README.md", "dist/index.js", "dist/node.js", "dist/web.d.ts"]) assert.ok(paths.includes(path), path);
  assert.equal(await readFile(join(ROOT, "LICENSE"), "utf8"), await readFile(join(PROJECT, "LICENSE"), "utf8"));
});

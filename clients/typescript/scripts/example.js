// Takes the example out of the README, so that it is compiled and run with the tests.
import { readFileSync, writeFileSync } from "node:fs";

const [, example] = /^```ts\n(.*?)^```$/ms.exec(readFileSync("README.md", "utf8")) ?? [];
if (example === undefined) throw new Error("README.md has no example in TypeScript");
writeFileSync("test/readme_example.ts", example);

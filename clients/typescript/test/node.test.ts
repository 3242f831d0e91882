import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { LightkeepError } from "lightkeep-client";
import { connect } from "lightkeep-client/node";

test("a client that is closed ends its calls, and repeats none", async () => {
  // It takes calls, and answers none.
  const silent = createServer();
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  let calls = 0;
  try {
    const client = connect({ address: `127.0.0.1:${(silent.address() as AddressInfo).port.toString()}` });
    silent.on("stream", (stream) => {
      calls += 1;
      stream.on("error", () => undefined);
      client.close();
    });
    const isClosed = ({ code, message }: LightkeepError) => code === "CANCELLED" && message === "the client was closed";
    await assert.rejects(client.backup.getGraph({ graphId: "g" }), isClosed);
    assert.equal(calls, 1);
    await assert.rejects(client.waitForOperation("o"), isClosed);
    assert.equal(calls, 2);
  } finally {
    silent.close();
  }
});

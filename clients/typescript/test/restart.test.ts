import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Client, type LightkeepError } from "lightkeep-client";
import { connect as connectByGrpc } from "lightkeep-client/node";
import { connect as connectByRest } from "lightkeep-client/web";
import { setTimeout as sleep } from "node:timers/promises";
import { Server, TOKEN } from "./server.js";

const server = await Server.start();
const patient = { token: TOKEN, attempts: 100, timeoutMs: 60_000 };
const grpc = connectByGrpc({ address: server.grpc, ...patient });
const rest = connectByRest({ address: `http://${server.http}`, ...patient });
after(async () => {
  grpc.close();
  await server.remove();
});

for (const [way, client] of [
  ["gRPC", grpc],
  ["REST", rest],
] as [string, Client][]) {
  test(`a server that goes and comes back, by ${way}`, async () => {
    const sourceDir = await server.workspace(`restart-${way}`);
    await client.backup.registerGraph({ graphId: `restart-${way}`, sourceDir });
    const once =
      client === grpc
        ? connectByGrpc({ address: server.grpc, token: TOKEN, attempts: 1 })
        : connectByRest({ address: `http://${server.http}`, token: TOKEN, attempts: 1 });
    let stopping: Promise<void> | undefined;
    const following = async () => {
      const onHeader = () => {
        stopping = server.stop();
      };
      for await (const { eventId } of once.monitoring.watchEvents({ graphId: "nobody" }, { onHeader })) assert.fail(eventId);
    };
    await assert.rejects(following, ({ code, reason }: LightkeepError) => code === "UNAVAILABLE" && reason === "SERVER_STOPPING");
    await stopping;
    await assert.rejects(
      once.backup.listGraphs({}),
      ({ code, requestId }: LightkeepError) => code === "UNAVAILABLE" && requestId === undefined,
    );
    // Asked while nobody is there, answered by the next server: a read, a change, and the beginning of a stream.
    const reading = client.backup.getGraph({ graphId: `restart-${way}` });
    const changing = client.backup.createSnapshot({ graphId: `restart-${way}` });
    const waiting = client.waitForOperation("01a212c8-6c5c-77a2-9921-fef4ec2fabc8");
    const refused = assert.rejects(waiting, ({ reason }: LightkeepError) => reason === "OPERATION_NOT_FOUND");
    await server.serve();
    assert.equal((await reading).graphId, `restart-${way}`);
    assert.equal((await changing).graphId, `restart-${way}`);
    await refused;
  });

  test(`a server that dies and comes back, by ${way}`, { timeout: 120_000 }, async () => {
    const graphId = `crash-${way}`;
    await client.backup.registerGraph({ graphId, sourceDir: await server.workspace(graphId) });
    const once =
      client === grpc
        ? connectByGrpc({ address: server.grpc, token: TOKEN, attempts: 1 })
        : connectByRest({ address: `http://${server.http}`, token: TOKEN, attempts: 1 });
    const isLost = ({ code, reason, requestId }: LightkeepError) => {
      assert.deepEqual([code, reason, requestId], ["UNAVAILABLE", undefined, undefined]);
      return true;
    };
    let killing: Promise<void> | undefined;
    const following = async () => {
      const onHeader = () => {
        killing = server.kill();
      };
      for await (const { eventId } of client.monitoring.watchEvents({ graphId: "nobody" }, { onHeader })) assert.fail(eventId);
    };
    await assert.rejects(following, isLost);
    await killing;
    await server.serve();
    // It dies with a call that it has taken, of each kind.
    await Promise.all([once.backup.getGraph({ graphId }), client.backup.getGraph({ graphId })]);
    server.freeze();
    const lost = assert.rejects(once.backup.getGraph({ graphId }), isLost);
    const changing = client.backup.createSnapshot({ graphId });
    while ((await server.unread()) < 2) await sleep(5);
    await server.kill();
    await lost;
    await server.serve();
    const { backupId } = await changing;
    const { snapshots } = await client.backup.listSnapshots({ graphId });
    assert.deepEqual(
      snapshots.map((snapshot) => snapshot.backupId),
      [backupId],
    );
  });
}

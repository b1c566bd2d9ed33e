/** The states of a link between its connections. */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { ChannelConnectionError } from "../mod.ts";
import { AttachCycle } from "../src/transports/remote/attach_cycle.ts";
import type { Connector } from "../src/transports/remote/connector.ts";
import { mayPass } from "../src/transports/amqp/failure.ts";
import type { Session } from "../src/transports/amqp/connection/session.ts";

/** A connection of which only the loss matters. */
class FakeSession {
  loss: Error | undefined;

  get isLost(): boolean {
    return this.loss !== undefined;
  }

  get lossError(): ChannelConnectionError {
    return new ChannelConnectionError(`${this.loss}`, { address: "amqp://fake" });
  }
}

/** A link and its connector. Attachments settle when the test says so. */
class Stage {
  readonly log: string[] = [];
  /** The connection that the connector has. */
  session: FakeSession | undefined;
  readonly attachments: { resolve(found: string): void; reject(error: Error): void }[] = [];
  readonly cycle: AttachCycle<Session, string>;

  constructor() {
    const connector = {
      connect: () => {
        this.log.push("connect");
        if (this.session !== undefined) this.connected(this.session);
      },
      retryNow: () => this.log.push("retry now"),
      cancel: () => this.log.push("cancel"),
      processRef: { isHeld: true },
    };
    this.cycle = new AttachCycle(connector as unknown as Connector<Session>, {
      attach: () => {
        this.log.push("attach");
        return new Promise((resolve, reject) => this.attachments.push({ resolve, reject }));
      },
      attached: (_, found) => this.log.push(`attached ${found}`),
      postponed: () => this.log.push("postponed"),
      failed: () => this.log.push("failed"),
      mayPass: (refusal) => mayPass(refusal),
      explain: (error) => new ChannelConnectionError(`${error}`, { address: "amqp://fake" }),
    });
  }

  connected(session: FakeSession): void {
    this.cycle.connected(session as unknown as Session);
  }

  lose(session: FakeSession): void {
    session.loss = new Error("lost");
    this.cycle.lost(session as unknown as Session);
  }

  /** Returns what has happened since the last call. */
  async happened(): Promise<string> {
    await pause(0);
    return this.log.splice(0).join(", ");
  }
}

Deno.test("attach cycle: a link attaches, and again after a loss", async () => {
  const stage = new Stage();
  stage.cycle.start();
  // Links that are idle may have postponed the attempt, and an operation waits now.
  assert.equal(await stage.happened(), "connect, retry now");
  stage.cycle.start();
  assert.equal(await stage.happened(), "retry now");
  const first = new FakeSession();
  stage.connected(first);
  stage.cycle.start();
  stage.attachments[0]!.resolve("one");
  assert.equal(await stage.happened(), "attach, attached one");
  stage.cycle.start();
  assert.equal(await stage.happened(), "");
  stage.lose(first);
  assert.match(`${stage.cycle.loss}`, /lost/);
  stage.connected(new FakeSession());
  stage.attachments[1]!.resolve("two");
  assert.equal(await stage.happened(), "connect, attach, attached two");
  assert.equal(stage.cycle.loss, undefined);
});

Deno.test("attach cycle: if the connection is lost during an attachment, one attachment on the next is under way", async () => {
  const stage = new Stage();
  stage.cycle.start();
  const first = new FakeSession();
  stage.connected(first);
  first.loss = new Error("lost");
  stage.session = new FakeSession();
  stage.attachments[0]!.reject(new Error("lost"));
  assert.equal(await stage.happened(), "connect, retry now, attach, connect, attach");
  stage.cycle.start();
  const settled = stage.cycle.settled().then(() => stage.log.push("settled"));
  assert.equal(await stage.happened(), "");
  stage.attachments[1]!.resolve("two");
  await settled;
  assert.equal(await stage.happened(), "attached two, settled");
});

Deno.test("attach cycle: a connection that is lost as an attachment succeeds has no attachment", async () => {
  const stage = new Stage();
  stage.cycle.start();
  const first = new FakeSession();
  stage.connected(first);
  first.loss = new Error("lost");
  stage.attachments[0]!.resolve("one");
  assert.equal(await stage.happened(), "connect, retry now, attach, connect");
});

Deno.test("attach cycle: a refusal ends it until it is started again; one that may pass is repeated", async () => {
  const stage = new Stage();
  stage.session = new FakeSession();
  stage.cycle.start();
  stage.attachments[0]!.reject(
    new Error("channel 3 closed: ACCESS_REFUSED - access to queue 'q' in vhost '/' refused (403)"),
  );
  assert.equal(await stage.happened(), "connect, attach, failed");
  stage.cycle.start();
  stage.attachments[1]!.reject(
    new Error("channel 3 closed: NOT_FOUND - home node 'n' of durable queue 'q' is down (404)"),
  );
  assert.equal(await stage.happened(), "connect, attach, postponed");
  stage.cycle.start();
  assert.match(`${stage.cycle.refusal}`, /is down/);
  while (stage.attachments.length < 3) await pause(5);
  stage.attachments[2]!.resolve("three");
  assert.equal(await stage.happened(), "connect, attach, attached three");
  assert.equal(stage.cycle.refusal, undefined);
});

Deno.test("attach cycle: after its end nothing begins, and an attachment under way is reported", async () => {
  const stage = new Stage();
  stage.session = new FakeSession();
  stage.cycle.start();
  stage.cycle.end();
  stage.attachments[0]!.resolve("one");
  await stage.cycle.settled();
  stage.cycle.start();
  stage.lose(stage.session);
  stage.connected(new FakeSession());
  stage.cycle.failed(stage.cycle.loss!, Infinity);
  assert.equal(await stage.happened(), "connect, attach, cancel, attached one");
  assert.ok(stage.cycle.isEnded);
});

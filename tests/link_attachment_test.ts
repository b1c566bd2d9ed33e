/** What an attachment does when the broker ends or refuses its consumer: its claims alone, without a broker. */
import assert from "node:assert/strict";
import { ChannelConnectionError, type ChannelError } from "../mod.ts";
import { LinkAttachment } from "../src/transports/amqp/link_attachment.ts";
import type { AttachmentOwner } from "../src/transports/amqp/link_attachment.ts";
import type { Session } from "../src/transports/amqp/connection/session.ts";
import { ProcessRef } from "../src/transports/remote/process_ref.ts";
import { newStats } from "../src/transports/stats.ts";
import { until } from "./conformance/fixture.ts";

const nodeDown = new Error(
  "NOT_FOUND - home node 'a' of durable queue 'q' is down or inaccessible",
);

/**
 * Lets a claim wait while every consumer is refused, and calls `depth` for each question whether the queue exists.
 * Returns the number of refusals and the error of the claim, once there are `enough` refusals or an error.
 */
async function refusals(
  depth: (question: number) => Promise<number>,
  enough: number,
): Promise<{ count: number; error: Error | undefined }> {
  let [count, questions] = [0, 0];
  let error: Error | undefined;
  const session = {
    isLost: false,
    pool: { roundTrip: 1 },
    processRef: new ProcessRef(),
    run(action: string) {
      if (action === "depth") return depth(++questions);
      count++;
      return Promise.reject(nodeDown);
    },
  };
  const owner = {
    name: "q",
    outbox: { isBounded: false },
    stats: newStats(),
    held: { count: 0 },
    operation: (action: string) => action,
    explain: (_: string, error: Error) =>
      new ChannelConnectionError(error.message, { address: "amqp://fake" }) as ChannelError,
  };
  const attachment = new LinkAttachment(
    session as unknown as Session,
    "durable",
    owner as unknown as AttachmentOwner,
  );
  const claim = {
    counted: false,
    deliver: () => assert.fail("there is no message"),
    reject: (reason: Error) => error = reason,
  };
  attachment.take(claim);
  await until(() => count >= enough || error !== undefined);
  session.isLost = true; // no more attempts
  attachment.withdraw(claim);
  return { count, error };
}

/** The timer of the next attempt is pending when a test ends. */
const aTimerIsLeft = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "amqp: a get waits for the node of its queue, also if the node is back just after a refusal",
  aTimerIsLeft,
  async () => {
    // The node is down for nine refusals. Then the queue is there when it is asked for, although the consumer was refused.
    const isDown = () => Promise.reject(nodeDown);
    const { error } = await refusals((n) => n < 9 ? isDown() : Promise.resolve(0), 10);
    assert.equal(error, undefined);
  },
);

Deno.test(
  "amqp: a get of a queue that exists and refuses every consumer ends",
  aTimerIsLeft,
  async () => {
    const { count, error } = await refusals(() => Promise.resolve(0), 20);
    assert.equal(count, 9);
    assert.match(error!.message, /down or inaccessible/);
  },
);

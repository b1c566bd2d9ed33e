import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { type Channel, ChannelClosedError, ChannelConnectionError } from "../../mod.ts";
import { numbers, rejection, within } from "../conformance/fixture.ts";
import { bound, type Cell, eventually } from "./cell.ts";
import { PutLog } from "./put_log.ts";

/** A state during a fault. */
export interface RunningState {
  /**
   * Called after the fault: asserts the outcome of all pending operations and that the channel works. Returns a
   * summary.
   */
  end(): Promise<string>;
}

/** What a program may be doing when a fault occurs. Each function resolves when its operations are running. */
export const states: Record<string, (cell: Cell) => Promise<RunningState>> = {
  idle,
  putting,
  waiting,
  iterating,
  holding,
  asking,
  closing,
};

/** Attached, without operations. */
async function idle(cell: Cell): Promise<RunningState> {
  const ch = cell.channel();
  const listening = cell.channel({ name: `${cell.name} too` });
  assert.equal(await listening.depth(), 0);
  await cell.works(ch);
  return {
    end: async () => {
      if (cell.meaning.isDeletion) return await endedByDeletion(cell, ch);
      // The connection returns without any operation, and gets the announcements of others.
      await eventually(() => cell.server.isAttached(cell.connectionName, listening.name));
      await eventually(async () => {
        const other = cell.channel({ name: listening.name, connection: cell.server.uri });
        await other.closeAll();
        return listening.closed;
      });
      await allWorks(cell, ch);
      return "reconnected by itself";
    },
  };
}

/** Continuous puts. */
async function putting(cell: Cell): Promise<RunningState> {
  const ch = cell.channel();
  const putLog = new PutLog(cell);
  let isOver = false;
  const writer = async () => {
    while (!isOver && !ch.closed) {
      const resolved = await Promise.all(numbers(8).map(() => putLog.put(ch)));
      await pause(resolved.every(Boolean) ? 3 : 50);
    }
  };
  const writers = Promise.all([writer(), writer(), writer()]);
  writers.catch(() => {}); // end() reports the error
  await eventually(() => putLog.hasResolved(100));
  return {
    end: async () => {
      const first = putLog.next;
      const { isDeletion } = cell.meaning;
      const goesOn = eventually(() => isDeletion ? ch.closed : putLog.hasResolved(first));
      await Promise.race([goesOn, writers]); // the writers end earlier only by a failure
      isOver = true;
      await within(writers, bound);
      assert.equal(putLog.pending, 0);
      if (isDeletion) await endedByDeletion(cell, ch);
      const outcome = await putLog.settle();
      if (!isDeletion) await allWorks(cell, ch);
      return outcome;
    },
  };
}

/** A get, a receive and an iteration that wait for values. */
async function waiting(cell: Cell): Promise<RunningState> {
  const ch = cell.channel();
  assert.equal(await ch.depth(), 0);
  const start = performance.now();
  const get = ch.get();
  const receive = ch.receive().then((delivery) => {
    delivery.accept();
    return delivery.value;
  });
  const next = ch[Symbol.asyncIterator]().next().then(({ value, done }) => done ? -1 : value);
  const waiters = [get, receive, next];
  for (const waiter of waiters) waiter.catch(() => {}); // end() reports the error
  return {
    end: async () => {
      const { isOutage, isDeletion } = cell.meaning;
      if (isDeletion) {
        for (const each of [get, receive]) {
          await rejection(each, ChannelClosedError, { reason: "delete" });
        }
        assert.equal(await within(next), -1);
        return await endedByDeletion(cell, ch);
      }
      if (isOutage) {
        for (const waiter of waiters) await rejection(waiter, ChannelConnectionError);
        const took = performance.now() - start;
        await allWorks(cell, ch);
        return `rejected (ChannelConnectionError) within ${Math.round(took)} ms`;
      }
      await cell.server.put(cell.name, [1, 2, 3]);
      const got = await within(Promise.all(waiters), bound);
      assert.deepEqual(got.sort(), [1, 2, 3]);
      assert.equal(await ch.depth(), 0);
      await allWorks(cell, ch);
      return "continued and got";
    },
  };
}

/** An iteration with a slow body. */
async function iterating(cell: Cell): Promise<RunningState> {
  const [early, late] = [numbers(60), numbers(20, 60)];
  const ch = cell.channel();
  await cell.feed(early);
  const got: number[] = [];
  const end = early.length + late.length;
  const iterate = async () => {
    for (;;) {
      try {
        for await (const value of ch) {
          got.push(value);
          await pause(40);
          if (got.length === end) return;
        }
        return;
      } catch (error) {
        assert.ok(cell.meaning.isOutage && error instanceof ChannelConnectionError, String(error));
        rejected++;
      }
    }
  };
  let rejected = 0;
  const iteration = iterate();
  iteration.catch(() => {}); // end() reports the error
  await eventually(() => got.length >= 3);
  return {
    end: async () => {
      if (cell.meaning.isDeletion) {
        await within(iteration);
        await endedByDeletion(cell, ch);
        return `ended after ${got.length} values`;
      }
      await cell.feed(late);
      if (cell.meaning.isLoss) return await iteratedAfterLoss(cell, ch, { got, early, late });
      await within(iteration, 40 * end + bound);
      assert.deepEqual([...got].sort((a, b) => a - b), [...early, ...late]);
      const isOrdered = got.every((value, i) => value === i);
      assert.equal(await ch.depth(), 0);
      await allWorks(cell, ch);
      const ending = rejected > 0 ? `, after ${rejected} rejections` : "";
      return `${end} values, each once, ${isOrdered ? "in order" : "out of order"}${ending}`;
    },
  };
}

/** The server has lost the values that it held, and an iteration yields those that came afterwards. */
async function iteratedAfterLoss(
  cell: Cell,
  ch: Channel<number>,
  { got, early, late }: Record<"got" | "early" | "late", readonly number[]>,
): Promise<string> {
  await eventually(() => got.includes(late.at(-1)!));
  await ch.close();
  const before = got.length - late.length;
  assert.deepEqual(got, [...early.slice(0, before), ...late]);
  await cell.worksAnew();
  return `${before} values before the loss and ${late.length} after it, each once, in order`;
}

/** Deliveries that were received and not yet settled. */
async function holding(cell: Cell): Promise<RunningState> {
  const ch = cell.channel();
  await cell.feed([1, 2, 3]);
  const first = await ch.receive();
  const second = await ch.receive();
  assert.deepEqual([first.value, second.value], [1, 2]);
  return {
    end: async () => {
      first.accept();
      second.release();
      const { isDeletion, isLoss } = cell.meaning;
      if (isDeletion) return await endedByDeletion(cell, ch);
      if (isLoss) {
        await eventually(async () => await ch.depth() === 0);
        await allWorks(cell, ch);
        return "the values on loan are gone with the others";
      }
      const rest: string[] = [];
      let again = 0;
      while (rest.length < 2) {
        const delivery = await ch.receive({ timeout: bound });
        delivery.accept();
        if (delivery.value !== 1) rest.push(String(delivery.value));
        else assert.ok(delivery.redelivered, "a duplicate was not marked");
        if (delivery.value === 1) again++;
        if (delivery.value === 2) {
          assert.ok(delivery.redelivered, "a released value was not marked");
        }
      }
      assert.deepEqual(rest.sort(), ["2", "3"]);
      assert.equal(again, 0, "an accepted value was redelivered");
      await eventually(async () => await ch.depth() === 0);
      await allWorks(cell, ch);
      return "the accepted one is gone, the released one was redelivered";
    },
  };
}

/** Operations that take a round-trip, one after the other. */
async function asking(cell: Cell): Promise<RunningState> {
  const ch = cell.channel();
  const outcomes = new Map<string, number>();
  let isOver = false;
  const ask = async (title: string, limit: number, question: () => Promise<unknown>) => {
    const stalls = new Stalls();
    const start = performance.now();
    const outcome = await question().then((answer) => String(answer), (error) => error.name);
    const took = performance.now() - start - stalls.end();
    assert.ok(took < limit, `${title} took ${Math.round(took)} ms: ${outcome}`);
    const key = `${title}: ${outcome}`;
    outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    return outcome;
  };
  const { isOutage, isDeletion } = cell.meaning;
  const asker = async () => {
    while (!isOver && !ch.closed) {
      const depth = await ask("depth", cell.retryTimeout + 8000, () => ch.depth());
      const allowed = ["0"];
      if (isOutage) allowed.push("ChannelConnectionError");
      if (isDeletion) allowed.push("ChannelClosedError");
      assert.ok(allowed.includes(depth), `depth: ${depth}`);
      for (const timeout of [0, 30]) {
        const limit = timeout === 0 ? 5000 : 2000; // 3 s for the answer
        const get = await ask(`get of ${timeout}`, limit, () => ch.get({ timeout }));
        const allowed = ["ChannelTimeoutError", "ChannelConnectionError"];
        if (isDeletion) allowed.push("ChannelClosedError");
        assert.ok(allowed.includes(get), `get: ${get}`);
      }
    }
  };
  const asking = asker();
  asking.catch(() => {}); // end() reports the error
  await eventually(() => (outcomes.get("depth: 0") ?? 0) > 2);
  return {
    end: async () => {
      isOver = true;
      await within(asking, bound);
      if (isDeletion) return await endedByDeletion(cell, ch);
      await within(ch.depth(), bound); // the connection is back
      await eventually(() =>
        ch.tryGet().then(({ status }) => status === "empty", (error) => {
          assert.ok(error instanceof ChannelConnectionError, error); // two heartbeats without a processor
          return false;
        })
      );
      await allWorks(cell, ch);
      return [...outcomes].map(([outcome, count]) => `${count} × ${outcome}`).join(", ");
    },
  };
}

/** Handles that are made, put, get and are closed, one after the other. */
async function closing(cell: Cell): Promise<RunningState> {
  const putLog = new PutLog(cell, true);
  const empty = `${cell.name}, empty`;
  let [isOver, count, longest] = [false, 0, 0];
  const closer = async () => {
    while (!isOver) {
      const [ch, other] = [cell.channel(), cell.channel({ name: empty })];
      const puts = Promise.all(numbers(3).map(() => putLog.put(ch)));
      const get = other.get().then(
        () => assert.fail("a get from an empty channel resolved"),
        (error) => error,
      );
      if (count % 2 === 0) await pause(Math.random() * 20); // otherwise it may not be attached yet
      const stalls = new Stalls();
      const start = performance.now();
      await within(Promise.all([ch.close(), other.close()]));
      longest = Math.max(longest, performance.now() - start - stalls.end());
      await within(puts);
      const reason = await within(get);
      const isExpected = reason instanceof ChannelClosedError ||
        reason instanceof ChannelConnectionError && cell.meaning.isOutage;
      assert.ok(isExpected, `the get of a handle that is closed: ${reason}`);
      count++;
    }
  };
  const closing = closer();
  closing.catch(() => {}); // end() reports the error
  await eventually(() => count > 3);
  return {
    end: async () => {
      isOver = true;
      await within(closing, bound);
      assert.ok(longest < closeBound, `close took ${Math.round(longest)} ms`);
      const outcome = await putLog.settle();
      await cell.worksAnew();
      return `${count} closed within ${Math.round(longest)} ms each; ${outcome}`;
    },
  };
}

/** The time in milliseconds that a close may take: one second, plus what the timers of a busy machine are late. */
const closeBound = 1500;

/** Measures for how long the event loop did not turn, because the process did not get a processor. */
class Stalls {
  #last = performance.now();
  #late = 0;
  readonly #timer = setInterval(() => this.#tick(), stallStep);

  #tick(): void {
    const now = performance.now();
    this.#late += Math.max(0, now - this.#last - 2 * stallStep);
    this.#last = now;
  }

  /** Returns the milliseconds since the beginning. */
  end(): number {
    this.#tick();
    clearInterval(this.#timer);
    return this.#late;
  }
}

/** Milliseconds between two looks at the clock. */
const stallStep = 20;

async function allWorks(cell: Cell, ch: Channel<number>): Promise<void> {
  assert.equal(ch.closed, false);
  await cell.works(ch);
  await cell.worksAnew();
}

async function endedByDeletion(cell: Cell, ch: Channel<number>): Promise<string> {
  const error = await rejection(ch.put(0), ChannelClosedError, { reason: "delete" });
  assert.equal(error.value, 0);
  await rejection(ch.get(), ChannelClosedError, { reason: "delete" });
  await cell.worksAnew();
  return "rejected (ChannelClosedError, delete)";
}

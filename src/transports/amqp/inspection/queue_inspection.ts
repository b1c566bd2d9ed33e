import { randomHex } from "../../../shared/hex.ts";
import {
  closedChannel,
  type Finding,
  fine,
  type InspectionOptions,
  missingChannel,
  type ReportFinding,
  splitAdvice,
  waitingDeadLetters,
} from "../../inspection.ts";
import { accessRefused, readDifference } from "../connection/refusal.ts";
import { isMissing, refusalOf, replyCode, wordsOf } from "../failure.ts";
import { reservedName } from "../topology/bindings.ts";
import { printable } from "./inspecting_client.ts";
import { guard, type Probes } from "./probes.ts";

type Value = string | number | boolean;

/** What a broker tells of a queue. */
interface QueueState {
  readonly messages: number;
  readonly consumers: number;
}

/** How a queue was declared. */
interface QueueDeclaration {
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly args: Readonly<Record<string, Value>>;
}

/** Examines the queue and the exchange of a channel. */
export async function inspectQueue(
  probes: Probes,
  name: string,
  { report }: InspectionOptions,
): Promise<void> {
  const state = await stateOf(probes, name);
  if (state === "missing") {
    report(missingChannel(name));
    return;
  }
  if (typeof state === "string") {
    const { what, cure } = splitAdvice(state, "see the broker's log");
    report({ level: "warning", about: "channel", what: `channel ${name}: ${what}`, cure });
    return;
  }
  const declaration = await declarationOf(probes, name);
  const type = typeof declaration === "string" ? "" : declaration.args["x-queue-type"] ?? "classic";
  const { messages, consumers } = state;
  report(fine(
    "channel",
    `channel ${name} exists: ${type === "" ? "" : `a ${type} queue, `}${
      count(messages, "value")
    } ` +
      `${messages === 1 ? "waits" : "wait"}, ${count(consumers, "consumer")}`,
    { exists: true, messages, consumers, ...type === "" ? {} : { type } },
  ));
  if (typeof declaration === "string") {
    report({ level: "note", about: "arguments", what: declaration });
  } else {
    for (const finding of findingsOf(name, declaration)) report(finding);
  }
  if (typeof await stateOf(probes, reservedName(name, "closed")) !== "string") {
    report(closedChannel(name));
  }
  const dead = await stateOf(probes, `${name}.dead-letters`);
  if (typeof dead !== "string" && dead.messages > 0) {
    report(waitingDeadLetters(name, dead.messages));
  }
  await inspectExchange(probes, name, report);
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

/** @returns `missing`, or why nothing is known */
async function stateOf(probes: Probes, name: string): Promise<QueueState | string> {
  try {
    const found = await probes.with((channel) =>
      channel.queueDeclare(name, { passive: true, durable: true })
    );
    return { messages: found.messageCount, consumers: found.consumerCount };
  } catch (error) {
    if (isMissing(error)) return "missing";
    if (replyCode(error) === undefined) throw error;
    return refusalOf(error).advice ?? wordsOf(error);
  }
}

/**
 * Finds out how a queue was declared. The broker names one difference in each refusal, which the next declaration
 * adopts. The guard prevents that a queue which was deleted meanwhile is created.
 *
 * @returns the declaration, or why it is not known
 */
async function declarationOf(probes: Probes, name: string): Promise<QueueDeclaration | string> {
  const args: Record<string, Value> = { "x-queue-type": "classic" };
  const found = { durable: true, autoDelete: false, args };
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      await probes.with((channel) =>
        channel.queueDeclare(name, { durable: found.durable, autoDelete: found.autoDelete }, {
          ...args,
          ...guard,
        })
      );
      return found;
    } catch (error) {
      const words = wordsOf(error);
      if (replyCode(error) === undefined) throw error;
      if (replyCode(error) === accessRefused) {
        return `how the queue of channel ${name} was declared is told only to users with the ` +
          'permission "configure" for it';
      }
      const difference = readDifference(words);
      if (difference === undefined || difference.current === undefined) {
        return `how the queue of channel ${name} was declared is not known: ${printable(words)}`;
      }
      const { argument, current } = difference;
      const value = valueOf(current, words);
      if (argument === "durable") found.durable = value === true;
      else if (argument === "auto_delete") found.autoDelete = value === true;
      else if (current === "none") delete args[argument];
      else args[argument] = value;
      if (args["x-queue-type"] === "stream") return found; // it would compare the guard
    }
  }
  return `how the queue of channel ${name} was declared is not known: it has too many arguments`;
}

/** Returns the value of an argument; the broker's text names its type where it is not clear. */
function valueOf(current: string, words: string): Value {
  const type = /of type '(\w+)'$/.exec(words.replace(/ \(\d+\)$/, ""))?.[1];
  if (type === "bool" || type === undefined && /^(?:true|false)$/.test(current)) {
    return current === "true";
  }
  return type !== undefined && type !== "longstr" && /^-?\d+$/.test(current)
    ? Number(current)
    : current;
}

/** Says what a declaration means for a channel. */
function* findingsOf(
  name: string,
  { durable, autoDelete, args }: QueueDeclaration,
): Generator<Finding> {
  const { "x-queue-type": type = "classic", ...others } = args;
  const shown = Object.entries(others).map(([key, value]) => `${key}=${value}`);
  yield fine(
    "arguments",
    shown.length === 0
      ? `the queue of channel ${name} has no arguments but its type`
      : `the queue of channel ${name} has the arguments ${printable(shown.join(", "))}`,
    { type, durable, ...others },
  );
  const again = `delete the channel, and let a program of ChannelTS create it`;
  const bad = (level: "warning" | "problem", what: string, cure = again): Finding => ({
    level,
    about: "arguments",
    what: `the queue of channel ${name} ${what}`,
    cure,
  });
  if (type === "stream") {
    yield bad("problem", "is a stream, which cannot be a channel", "use another name");
    return;
  }
  if (!durable) {
    yield bad("warning", "is not durable: its values are lost when the broker restarts");
  }
  if (autoDelete) yield bad("warning", "is deleted with its last consumer, and its values with it");
  if (others["x-single-active-consumer"] === true) {
    yield bad("problem", "has a single active consumer: gets are refused");
  }
  const ttl = others["x-message-ttl"];
  if (ttl !== undefined) yield bad("warning", `drops values after ${ttl} ms`);
  const limit = others["x-delivery-limit"];
  if (typeof limit === "number" && limit >= 0 && limit < 2 ** 31 - 1) {
    yield bad("warning", `drops values that were returned ${limit} times`);
  } else if (type === "quorum" && limit === undefined) {
    yield bad("warning", "may drop values that were returned 20 times (RabbitMQ 4)");
  }
  const isBounded = others["x-max-length"] !== undefined ||
    others["x-max-length-bytes"] !== undefined;
  if (isBounded && !String(others["x-overflow"]).startsWith("reject-publish")) {
    yield bad("warning", "drops its oldest value when it is full");
  } else if (isBounded && type === "classic") {
    yield bad(
      "warning",
      "drops its oldest values when the broker restarts and more wait and are on loan than its limit",
      'create the channel with `durability: "quorum"`',
    );
  }
}

/** Examines the exchange of a channel, which carries broadcasts. A channel with `expires` has none. */
async function inspectExchange(
  probes: Probes,
  name: string,
  report: ReportFinding,
): Promise<void> {
  try {
    await probes.with((channel) =>
      channel.exchangeDeclare(name, "fanout", { durable: true, passive: true })
    );
  } catch (error) {
    if (replyCode(error) === undefined) throw error;
    if (isMissing(error)) {
      report({
        level: "note",
        about: "exchange",
        what:
          `there is no exchange ${name}: the channel is anonymous or expires, or another program declared ` +
          "its queue",
      });
    }
    return; // otherwise the permissions have been reported
  }
  try {
    await probes.with((channel) =>
      channel.exchangeDeclare(name, "fanout", { durable: true }, { "alternate-exchange": 1 })
    );
  } catch (error) {
    if (replyCode(error) === undefined) throw error;
    const { argument, current } = readDifference(wordsOf(error)) ?? {};
    if (argument !== "type") return;
    const isEarlier = current === "topic";
    report({
      level: isEarlier ? "problem" : "warning",
      about: "exchange",
      what: `the exchange ${name} is of type ${current}, not fanout: ` +
        (isEarlier
          ? "an earlier version of ChannelTS made it for a channel of capacity 0"
          : "broadcasts and closeAll may not arrive"),
      cure: "delete the exchange, or use another name",
    });
  }
}

/** Finds out the queue type that a vhost gives to queues which are declared without one. */
export async function inspectDefaultType(
  probes: Probes,
  { report }: InspectionOptions,
): Promise<void> {
  const name = randomHex(16);
  const lease = { "x-expires": 10_000 }; // if this process is killed now, the queue vanishes by itself
  let type = "classic";
  try {
    await probes.with(async (channel) => {
      await channel.queueDeclare(name, { durable: true }, lease);
      await channel.queueDeclare(name, { durable: true }, {
        ...lease,
        "x-queue-type": "classic",
      });
    });
  } catch (error) {
    if (replyCode(error) === undefined) throw error;
    const { argument, current } = readDifference(wordsOf(error)) ?? {};
    if (argument !== "x-queue-type" || current === undefined) {
      report({
        level: "note",
        about: "default-queue-type",
        what: "the default queue type of the vhost is not known: " +
          (replyCode(error) === accessRefused
            ? "the user may not create a queue to find out"
            : printable(wordsOf(error))),
      });
      return;
    }
    type = current;
  } finally {
    await probes.with((channel) => channel.queueDelete(name)).catch(() => {}); // it expires by itself
  }
  report(
    type === "classic"
      ? fine("default-queue-type", "the default queue type of the vhost is classic", { type })
      : {
        level: "note",
        about: "default-queue-type",
        what:
          `the default queue type of the vhost is ${type}; ChannelTS names the type of each queue, ` +
          "ChannelPy does not",
        facts: { type },
      },
  );
}

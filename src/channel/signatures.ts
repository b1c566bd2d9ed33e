// The signatures of the public functions of a channel. The type `Rules` requires a rule for each option.

import type { CloseAllOptions } from "../handle/contracts.ts";
import { directionOf, isChannelValue } from "../handle/channel_registry.ts";
import type { DeliveriesOptions } from "../handle/iteration.ts";
import { type OperationOptions, waiting } from "../handle/operation.ts";
import type { PutOptions } from "../handle/put_options.ts";
import {
  abortSignal,
  integer,
  milliseconds,
  oneOf,
  type Rule,
  type Rules,
  Signature,
  text,
  truth,
} from "../shared/options.ts";
import { longestTerm, longestTimer } from "../shared/timers.ts";
import type { BroadcastsOptions } from "./broadcasts.ts";
import type { ChannelOptions } from "./channel_options.ts";
import type { ReadableOptions, WritableOptions } from "./streams.ts";

const signal = abortSignal;

const connection: Rule = {
  takes: "a URI such as amqp://localhost, a URL, a Connection or a transport",
  allows: (value) =>
    typeof value === "string" ? value !== "" : typeof value === "object" && value !== null,
  isSecret: true,
  adviceForUndefined: 'leave it out for the configured connection, or write "memory:"',
};

const channel = {
  name: { ...text, adviceForUndefined: "leave it out for an anonymous channel" },
  connection,
  encoding: oneOf("cbor", "json"),
  stacks: truth,
  retryTimeout: milliseconds(),
  maxAttempts: integer(1),
  capacity: integer(0, 2 ** 31 - 1),
  durability: oneOf("classic", "quorum"),
  expires: milliseconds(100, longestTimer),
};

function signature<Options>(
  action: string,
  most: number,
  rules: Rules<Options>,
  usage: string,
): Signature {
  return new Signature(action, most, rules, usage);
}

/** Returns the signature of a function that takes the options of every operation. */
function operation(action: string): Signature {
  return signature<OperationOptions>(action, 1, waiting, `${action}({ timeout: 1000 })`);
}

/** Returns the signature of a function that takes a value and options. */
function sending<Options>(action: string, rules: Rules<Options>): Signature {
  return signature(action, 2, rules, `${action}(value, { timeout: 1000 })`);
}

export const newChannel: Signature = signature<ChannelOptions>(
  "new Channel",
  1,
  channel,
  'new Channel({ name: "jobs", connection: "amqp://localhost" })',
);
export const clone: Signature = signature<ChannelOptions>(
  "clone",
  1,
  channel,
  'clone({ name: "jobs" })',
);
export const put: Signature = sending<PutOptions>("put", {
  ...waiting,
  delay: milliseconds(0, longestTerm),
  expires: milliseconds(1, longestTerm),
  priority: { takes: "a safe integer", allows: Number.isSafeInteger },
});
export const tryPut: Signature = sending<OperationOptions>("tryPut", waiting);
export const broadcast: Signature = sending<OperationOptions>("broadcast", waiting);
export const request: Signature = sending<OperationOptions>("request", waiting);
export const get: Signature = operation("get");
export const receive: Signature = operation("receive");
export const depth: Signature = operation("depth");
export const stats: Signature = operation("stats");
export const whenEmpty: Signature = operation("whenEmpty");
export const deleteChannel: Signature = operation("delete");
export const closeAll: Signature = signature<CloseAllOptions>(
  "closeAll",
  1,
  { ...waiting, drain: truth },
  "closeAll({ drain: true })",
);
export const tryGet: Signature = signature<{ readonly signal?: AbortSignal }>(
  "tryGet",
  1,
  { signal },
  "tryGet({ signal })",
);
export const broadcasts: Signature = signature<BroadcastsOptions>(
  "broadcasts",
  1,
  { signal, buffer: integer(1) },
  "broadcasts({ signal })",
);
export const deliveries: Signature = signature<DeliveriesOptions>(
  "deliveries",
  1,
  { signal },
  "deliveries({ signal })",
);
export const readable: Signature = signature<ReadableOptions>(
  "readable",
  1,
  { signal },
  "readable({ signal })",
);
export const writable: Signature = signature<WritableOptions>(
  "writable",
  1,
  { highWaterMark: integer(1), signal },
  "writable({ highWaterMark: 16 })",
);
export const getCase: Signature = signature("getCase", 0, {}, "select([ch.getCase()])");
export const putCase: Signature = signature("putCase", 1, {}, "select([ch.putCase(value)])");
export const dup: Signature = signature("dup", 0, {}, "dup()");
export const close: Signature = signature(
  "close",
  0,
  {},
  "close(), or closeAll({ drain: true }) to close the channel for everyone",
);

/** A channel that allows both directions. */
export const directedChannel: Rule = {
  takes: "a Channel",
  allows: (value) => isChannelValue(value) && directionOf(value) === undefined,
};

/** The next step of an attachment after each rejection by the broker. */
import assert from "node:assert/strict";
import {
  exchangeDeclare,
  type Method,
  queueBind,
  queueDeclare,
  queueDelete,
} from "../src/transports/amqp/connection/refusal.ts";
import {
  type Declaration,
  firstDeclaration,
  nextStep,
  readDeclarationRefusal,
  type RefusedPart,
} from "../src/transports/amqp/topology/declaration.ts";

/** A name so long that the broker truncates its text within it. */
const long = `${"n".repeat(200)}...`;

/** Texts of RabbitMQ 3.10.8, 4.0.5 and 4.3.6. If no version is named, all of them have the same text. */
const refusals: Record<string, readonly [method: Method, code: number, words: string]> = {
  "marker, not empty": [queueDelete, 406, "PRECONDITION_FAILED - queue 'q' in vhost 'v' not empty"],
  "marker, not empty, long name": [queueDelete, 406, `PRECONDITION_FAILED - queue '${long}`],
  "marker, 3.10: permission": [
    queueDelete,
    403,
    "ACCESS_REFUSED - access to queue 'q.closed.channelts' in vhost 'v' refused for user 'u'",
  ],
  "marker, 4.0: permission": [
    queueDelete,
    403,
    "ACCESS_REFUSED - configure access to queue 'q.closed.channelts' in vhost 'v' refused for user 'u'",
  ],
  "marker, node down": [
    queueDelete,
    404,
    "NOT_FOUND - home node 'n' of durable queue 'q' in vhost 'v' is down or inaccessible",
  ],
  "marker, process stopped": [
    queueDelete,
    404,
    "NOT_FOUND - queue 'q' in vhost 'v' process is stopped by supervisor",
  ],
  "marker, locked": [
    queueDelete,
    405,
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost 'v'. It could be originally declared on " +
    "another connection or the exclusive property value does not match that of the original declara...",
  ],
  "queue missing": [queueDeclare, 404, "NOT_FOUND - no queue 'q' in vhost 'v'"],
  "queue missing, long name": [queueDeclare, 404, `NOT_FOUND - no queue '${long}`],
  "queue, node down": [
    queueDeclare,
    404,
    "NOT_FOUND - home node 'n' of durable queue 'q' in vhost 'v' is down or inaccessible",
  ],
  "queue, 3.10: permission": [
    queueDeclare,
    403,
    "ACCESS_REFUSED - access to queue 'q' in vhost 'v' refused for user 'u'",
  ],
  "queue, 4.0: permission": [
    queueDeclare,
    403,
    "ACCESS_REFUSED - configure access to queue 'q' in vhost 'v' refused for user 'u'",
  ],
  "queue, limit": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost 'v' (1) is reached",
  ],
  "queue, exclusive": [
    queueDeclare,
    405,
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost 'v'. It could be originally declared on " +
    "another connection or the exclusive property value does not match that of the original declara...",
  ],
  "queue expires, declared without": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost 'v': received none but current is the value " +
    "'60000' of type 'signedint'",
  ],
  "queue expires otherwise": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost 'v': received '1000' but current is '60000'",
  ],
  "queue does not expire": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost 'v': received the value '60000' of type " +
    "'signedint' but current is none",
  ],
  "queue expires or not, long name": [
    queueDeclare,
    406,
    `PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue '${long}`,
  ],
  "queue bounded": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost 'v': received none but current is the " +
    "value '5' of type 'signedint'",
  ],
  "queue unbounded": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost 'v': received the value '3' of type " +
    "'signedint' but current is none",
  ],
  "queue with a time to live": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost 'v': received none but current is the " +
    "value '60000' of type 'signedint'",
  ],
  "queue without x-overflow": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost 'v': received the value 'reject-publish' " +
    "of type 'longstr' but current is none",
  ],
  "queue of type quorum": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received 'classic' but current is " +
    "'quorum'",
  ],
  "queue of type stream": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received 'classic' but current is " +
    "'stream'",
  ],
  "queue not durable": [
    queueDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost 'v': received 'true' but current is 'false'",
  ],
  "exchange missing": [exchangeDeclare, 404, "NOT_FOUND - no exchange 'q' in vhost 'v'"],
  "exchange, 3.10: permission": [
    exchangeDeclare,
    403,
    "ACCESS_REFUSED - access to exchange 'q' in vhost 'v' refused for user 'u'",
  ],
  "exchange, 4.0: permission": [
    exchangeDeclare,
    403,
    "ACCESS_REFUSED - configure access to exchange 'q' in vhost 'v' refused for user 'u'",
  ],
  "exchange, limit": [
    exchangeDeclare,
    406,
    "PRECONDITION_FAILED - cannot declare exchange 'x' in vhost '/': exchange limit of 9 is reached",
  ],
  "exchange of type topic": [
    exchangeDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'q' in vhost 'v': received 'fanout' but current is 'topic'",
  ],
  "exchange of type direct": [
    exchangeDeclare,
    406,
    "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'q' in vhost 'v': received 'fanout' but current is 'direct'",
  ],
  "exchange not durable, long name": [
    exchangeDeclare,
    406,
    `PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '${long}`,
  ],
  "binding to no exchange": [queueBind, 404, "NOT_FOUND - no exchange 'q' in vhost 'v'"],
  "binding of no queue": [queueBind, 404, "NOT_FOUND - no queue 'amq.gen-1' in vhost 'v'"],
  "binding, 3.10: permission": [
    queueBind,
    403,
    "ACCESS_REFUSED - access to exchange 'q' in vhost 'v' refused for user 'u'",
  ],
  "binding, 4.0: permission": [
    queueBind,
    403,
    "ACCESS_REFUSED - read access to exchange 'q' in vhost 'v' refused for user 'u'",
  ],
};

const parts: Record<string, RefusedPart> = {
  "marker, not empty": "marker found",
  "marker, not empty, long name": "marker found",
  "marker, 3.10: permission": "marker forbidden",
  "marker, 4.0: permission": "marker forbidden",
  "marker, node down": "marker busy",
  "marker, process stopped": "marker busy",
  "marker, locked": "other",
  "queue missing": "queue missing",
  "queue missing, long name": "queue missing",
  "queue, node down": "other",
  "queue, 3.10: permission": "queue forbidden",
  "queue, 4.0: permission": "queue forbidden",
  "queue, limit": "other",
  "queue, exclusive": "other",
  "exchange missing": "exchange missing",
  "exchange, 3.10: permission": "exchange forbidden",
  "exchange, 4.0: permission": "exchange forbidden",
  "exchange, limit": "other",
  "exchange of type topic": "exchange differs",
  "exchange of type direct": "exchange differs",
  "exchange not durable, long name": "exchange differs",
  "binding to no exchange": "exchange missing",
  "binding of no queue": "other",
  "binding, 3.10: permission": "other",
  "binding, 4.0: permission": "other",
};

function read(refusal: string) {
  const [method, code, words] = refusals[refusal]!;
  return readDeclarationRefusal(code, `channel 3 closed: ${words} (${code})`, method);
}

Deno.test("declarations: each refusal is read, of each version", () => {
  for (const refusal of Object.keys(refusals)) {
    const expected = parts[refusal] ?? "queue differs";
    assert.equal(read(refusal).part, expected, refusal);
  }
});

Deno.test("declarations: a lost connection is no refusal of a part", () => {
  assert.equal(readDeclarationRefusal(undefined, "connection closed", undefined).part, "other");
  assert.equal(readDeclarationRefusal(541, "INTERNAL_ERROR (541)", queueDeclare).part, "other");
});

const open = firstDeclaration("q", { create: true });
const found = firstDeclaration("q", { create: false });
const expiring = firstDeclaration("q", { create: true, lease: 60_000 });
const quorum = firstDeclaration("q", { create: true, quorum: true });
const anonymous = firstDeclaration("0".repeat(32), { create: true, lease: 1000, isNew: true });

/** The changes of the next declaration. */
type Change = Partial<Declaration>;

/** For each declaration and refusal, what comes next. */
const steps: [Declaration, refusal: string, next: string, change?: Change][] = [
  [open, "marker, not empty", "probe marker"],
  [found, "marker, not empty", "probe marker"],
  [open, "marker, node down", "declare after a pause", {}],
  [open, "marker, 3.10: permission", "declare", { asksForMarker: false }],
  [open, "marker, locked", "reject: refused"],

  [open, "queue missing", "declare after a pause", { queue: "create" }],
  [{ ...open, queue: "find" }, "queue missing", "declare after a pause", { queue: "create" }],
  [{ ...open, queue: "find", isDenied: true }, "queue missing", "reject: denied"],
  [found, "queue missing", "report missing"],
  [open, "queue, 4.0: permission", "declare", { queue: "find", isDenied: true }],
  [{ ...open, queue: "find", isDenied: true }, "queue, 4.0: permission", "reject: refused"],
  [found, "queue, 4.0: permission", "reject: refused"],
  [open, "queue, limit", "reject: refused"],
  [open, "queue, node down", "reject: refused"],

  [open, "queue expires, declared without", "declare", { queue: "find", lifetime: "expiring" }],
  [expiring, "queue expires otherwise", "declare", { queue: "find" }],
  [expiring, "queue does not expire", "declare", { queue: "find", lifetime: "durable" }],
  [open, "queue expires or not, long name", "declare", { queue: "find", lifetime: "expiring" }],
  [expiring, "queue expires or not, long name", "probe lifetime", { queue: "find" }],
  [anonymous, "queue does not expire", "declare", { queue: "find" }],
  [open, "queue bounded", "declare", { queue: "find", isBounded: true }],
  [{ ...open, isBounded: true }, "queue unbounded", "declare", { queue: "find", isBounded: false }],
  [open, "queue with a time to live", "declare", {
    queue: "find",
    hazard: "drops values after 60000 ms",
  }],
  [open, "queue of type quorum", "declare", {
    queue: "find",
    hazard: "may drop values that were released 20 times",
  }],
  [open, "queue of type stream", "reject: refused"],
  [open, "queue not durable", "declare", { queue: "find" }],
  [quorum, "queue without x-overflow", "declare", {
    queueArguments: { "x-queue-type": "quorum", "x-delivery-limit": 2 ** 31 - 1 },
  }],
  [expiring, "queue without x-overflow", "declare", { queue: "find" }],

  [open, "exchange missing", "declare after a pause", { exchange: "create" }],
  [{ ...open, exchange: "find" }, "exchange missing", "declare after a pause", {
    exchange: "create",
  }],
  [{ ...open, exchange: "find", isDenied: true }, "exchange missing", "reject: denied"],
  [found, "exchange missing", "declare", { lifetime: "expiring" }],
  [found, "binding to no exchange", "declare", { lifetime: "expiring" }],
  [open, "exchange, 3.10: permission", "declare", { exchange: "find", isDenied: true }],
  [found, "exchange, 3.10: permission", "declare", { exchange: "find", isDenied: true }],
  [{ ...found, exchange: "find" }, "exchange, 3.10: permission", "reject: refused"],
  [open, "exchange of type topic", "reject: capacity 0"],
  [open, "exchange of type direct", "declare", { exchange: "find" }],
  [found, "exchange not durable, long name", "declare", { exchange: "find" }],
  [open, "exchange, limit", "reject: refused"],
  [open, "binding, 4.0: permission", "reject: refused"],
];

Deno.test("declarations: the next step after each refusal", () => {
  for (const [declaration, refusal, expected, change = {}] of steps) {
    const step = nextStep(read(refusal), declaration);
    const next = step.next === "reject"
      ? `reject: ${step.because}`
      : step.next === "declare" && step.pauses
      ? "declare after a pause"
      : step.next;
    assert.equal(next, expected, refusal);
    if ("declaration" in step) assert.deepEqual(step.declaration, { ...declaration, ...change });
  }
});

Deno.test("declarations: the last attempt does not declare anything again", () => {
  for (const [declaration, refusal] of steps) {
    const step = nextStep(read(refusal), declaration, true);
    assert.ok(!("declaration" in step), refusal);
    if (refusal === "marker, node down") assert.equal(step.next, "probe marker");
  }
});

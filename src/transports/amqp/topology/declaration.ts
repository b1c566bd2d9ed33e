import { isAnonymous } from "../../../shared/names.ts";
import {
  accessRefused,
  type Difference,
  exchangeDeclare,
  isMissingText,
  type Method,
  notFound,
  preconditionFailed,
  queueBind,
  queueDeclare,
  queueDelete,
  readDifference,
  readRefusal,
} from "../connection/refusal.ts";
import type { Lifetime } from "./bindings.ts";
import { argumentsOf, hazardOf, type QueueArguments } from "./queues.ts";

/** What an attachment asks of the broker in one round trip, and what earlier refusals have told. */
export interface Declaration {
  /** Whether the attachment creates a channel that does not exist. */
  readonly creates: boolean;
  readonly lifetime: Lifetime;
  /** Whether to create the queue, or only to find it (a passive declaration, which compares no arguments). */
  readonly queue: "create" | "find";
  readonly queueArguments: QueueArguments;
  /** The same of the exchange. `check` finds it, and declares it then, to have the broker compare its type. */
  readonly exchange: "create" | "check" | "find";
  /** Whether to ask for the closed marker. */
  readonly asksForMarker: boolean;
  /** Whether the broker has denied the user the creation of the queue or the exchange. */
  readonly isDenied: boolean;
  /** Whether the queue has a capacity. */
  readonly isBounded: boolean;
  /** How the queue may drop messages. */
  readonly hazard: string | undefined;
}

/** Options of an attachment. */
export interface AttachOptions {
  readonly create: boolean;
  /** Milliseconds. */
  readonly lease?: number;
  readonly quorum?: boolean;
  /** The most messages that wait. */
  readonly capacity?: number;
  /** Whether no other process can have the channel. */
  readonly isNew?: boolean;
}

/** Returns the declaration that an attachment tries first. */
export function firstDeclaration(name: string, options: AttachOptions): Declaration {
  const { create, lease, capacity, isNew } = options;
  return {
    creates: create,
    lifetime: isAnonymous(name) ? "anonymous" : lease === undefined ? "durable" : "expiring",
    queue: create ? "create" : "find",
    queueArguments: argumentsOf(options),
    exchange: create ? "create" : "check",
    asksForMarker: isNew !== true,
    isDenied: false,
    isBounded: create && capacity !== undefined,
    hazard: undefined,
  };
}

/** The part of a declaration that the broker has refused, and the reason. */
export type RefusedPart =
  | "marker found"
  | "marker forbidden"
  /** The marker cannot be reached now, as where another connection is removing it. */
  | "marker busy"
  | "queue missing"
  | "queue forbidden"
  | "queue differs"
  | "exchange missing"
  | "exchange forbidden"
  | "exchange differs"
  | "other";

/** The broker's refusal of a declaration. */
export interface DeclarationRefusal {
  readonly part: RefusedPart;
  /** Given where the queue or the exchange differs. */
  readonly difference?: Difference;
}

/**
 * Reads the broker's refusal of a declaration. The refused method and the reply code tell most; the words tell what
 * differs, and a missing queue from one whose node is down.
 */
export function readDeclarationRefusal(
  code: number | undefined,
  words: string,
  method: Method | undefined,
): DeclarationRefusal {
  switch (method) {
    case queueDelete: // an attachment deletes nothing but the marker
      if (code === preconditionFailed) return { part: "marker found" }; // it is not empty
      if (code === accessRefused) return { part: "marker forbidden" };
      return { part: readRefusal(code, words, method).mayPass ? "marker busy" : "other" };
    case queueDeclare:
      return readPart("queue", code, words);
    case exchangeDeclare:
      return readPart("exchange", code, words);
    case queueBind: // another process has deleted the exchange since it was declared
      return {
        part: code === notFound && /\bno exchange /.test(words) ? "exchange missing" : "other",
      };
  }
  return { part: "other" };
}

function readPart(
  part: "queue" | "exchange",
  code: number | undefined,
  words: string,
): DeclarationRefusal {
  if (code === accessRefused) return { part: `${part} forbidden` };
  if (code === notFound && isMissingText(words)) return { part: `${part} missing` };
  const difference = code === preconditionFailed ? readDifference(words) : undefined;
  return difference === undefined ? { part: "other" } : { part: `${part} differs`, difference };
}

/** What an attachment does next. */
export type Step =
  /** Declares again; after a pause if another connection is at work. */
  | { readonly next: "declare"; readonly declaration: Declaration; readonly pauses: boolean }
  /** Finds out whether the closed marker is that of this channel, or of an earlier one of its name. */
  | { readonly next: "probe marker" }
  /** Finds out whether the channel is durable, and declares again. */
  | { readonly next: "probe lifetime"; readonly declaration: Declaration }
  /** Reports that there is no such channel. */
  | { readonly next: "report missing" }
  /** Rejects with this refusal, with the one by which the user was denied, or because of capacity 0. */
  | { readonly next: "reject"; readonly because: "refused" | "denied" | "capacity 0" };

/** Returns the step after a refusal. After the last attempt nothing is declared again. */
export function nextStep(
  { part, difference }: DeclarationRefusal,
  declaration: Declaration,
  isLast = false,
): Step {
  const step = steps[part](declaration, difference!);
  if (!isLast || !("declaration" in step)) return step;
  return part === "marker busy" ? probeMarker : reject;
}

/** The next step, by the refused part. */
const steps: Readonly<
  Record<RefusedPart, (declaration: Declaration, difference: Difference) => Step>
> = {
  "marker found": () => probeMarker,
  "marker busy": (declaration) => retry(declaration, {}),
  "marker forbidden": (declaration) => declare(declaration, { asksForMarker: false }),

  "queue missing": (declaration) =>
    !declaration.creates
      ? reportMissing
      : declaration.isDenied
      ? rejectDenied
      : retry(declaration, { queue: "create" }),
  // A user without permission to create the queue may use one that exists.
  "queue forbidden": (declaration) =>
    declaration.queue === "find" ? reject : declare(declaration, { queue: "find", isDenied: true }),
  "queue differs": useOtherQueue,

  "exchange missing": (declaration) =>
    !declaration.creates
      ? declare(declaration, { lifetime: "expiring" }) // only a durable channel has an exchange
      : declaration.isDenied
      ? rejectDenied
      : retry(declaration, { exchange: "create" }),
  "exchange forbidden": (declaration) =>
    declaration.exchange === "find"
      ? reject
      : declare(declaration, { exchange: "find", isDenied: true }),
  "exchange differs": (declaration, { argument, current }) =>
    argument === "type" && current === "topic" // an earlier version made it for a channel of capacity 0
      ? { next: "reject", because: "capacity 0" }
      : declare(declaration, { exchange: "find" }),

  "other": () => reject,
};

/**
 * Uses a queue that exists with other arguments: the receiver of a reference does not know them.
 *
 * RabbitMQ compares `x-expires` before all other arguments, so a refusal for another one tells that the lifetime is
 * the declared one.
 */
function useOtherQueue(declaration: Declaration, difference: Difference): Step {
  const { argument, current } = difference;
  const { "x-overflow": overflow, ...otherArguments } = declaration.queueArguments;
  const isQuorum = otherArguments["x-queue-type"] === "quorum";
  // The quorum queues of earlier versions lack it. The broker names then what else differs.
  if (argument === "x-overflow" && isQuorum && overflow !== undefined) {
    return declare(declaration, { queueArguments: otherArguments });
  }
  // A stream has no basic.get.
  if (argument === "x-queue-type" && current === "stream") return reject;
  const found: Partial<Declaration> = {
    queue: "find",
    hazard: hazardOf(difference),
    isBounded: argument === "x-max-length" && current !== undefined && current !== "none",
  };
  if (argument !== "x-expires" || declaration.lifetime === "anonymous") {
    return declare(declaration, found);
  }
  const hasLease = "x-expires" in otherArguments;
  if (hasLease && current === undefined) {
    return { next: "probe lifetime", declaration: { ...declaration, ...found } };
  }
  const lifetime = hasLease && current === "none" ? "durable" : "expiring";
  return declare(declaration, { ...found, lifetime });
}

function declare(declaration: Declaration, change: Partial<Declaration>): Step {
  return { next: "declare", declaration: { ...declaration, ...change }, pauses: false };
}

/** Like `declare`, after a pause: another connection is deleting the channel, or the marker of an earlier one. */
function retry(declaration: Declaration, change: Partial<Declaration>): Step {
  return { next: "declare", declaration: { ...declaration, ...change }, pauses: true };
}

const probeMarker: Step = { next: "probe marker" };
const reportMissing: Step = { next: "report missing" };
const reject: Step = { next: "reject", because: "refused" };
const rejectDenied: Step = { next: "reject", because: "denied" };

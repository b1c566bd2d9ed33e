import { messageParameters, putParameters } from "../puts/redis_outbox.ts";
import type { ScriptName } from "./mod.ts";

/** Reports whether the reply to a script with these arguments is one that the script can return. */
export function isReplyOf(
  script: ScriptName,
  args: readonly unknown[],
  reply: unknown,
): boolean {
  switch (script) {
    case "take":
      return Array.isArray(reply) && reply.length % 3 === 0 && reply.length >= 3 &&
        reply.every((part, i) => i < 3 ? isNumber(part) : isBytes(part));
    case "put":
      return areNumbers(reply, (args.length - fixed - putParameters) / messageParameters);
    case "tick":
    case "ask":
      return areNumbers(reply, 2);
    case "stats":
      return areNumbers(reply, 6);
    case "attach":
      return isAttachment(reply, Number(args[8]));
    default:
      return isNumber(reply);
  }
}

function isAttachment(reply: unknown, loans: number): boolean {
  if (!Array.isArray(reply)) return false;
  const [epoch, capacity, closed, events, control, event, due, kept, leased, left, announced] =
    reply;
  return isBytes(epoch) &&
    areNumbers([capacity, closed, events, control, due, leased, left, announced]) &&
    isBytes(event) && areNumbers(kept, loans);
}

function areNumbers(reply: unknown, least = 0): boolean {
  return Array.isArray(reply) && reply.length >= least && reply.every(isNumber);
}

function isNumber(value: unknown): boolean {
  return Number.isSafeInteger(value);
}

function isBytes(value: unknown): boolean {
  return value instanceof Uint8Array;
}

/** How many arguments each script has besides its own: the holder and the epoch. */
const fixed = 2;

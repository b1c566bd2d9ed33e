import {
  ChannelClosedError,
  ChannelConfigError,
  ChannelConnectionError,
  type ChannelError,
  ChannelSizeError,
  type CloseReason,
  type RefusalReason,
} from "../../../shared/errors.ts";
import { booleanField, countField, stringField } from "./fields.ts";
import type { Frame } from "./frame.ts";

/**
 * Returns the JSON object of a `NO` or `REFUSED`. An error that is none of the library tells nothing of its cause.
 *
 * @param unknown true for the error of a put whose message may have arrived
 */
export function errorFields(error: unknown, unknown?: true): string {
  if (error instanceof ChannelClosedError) {
    const { name, message, reason } = error;
    return JSON.stringify({ name, message, reason, unknown });
  }
  if (error instanceof ChannelConnectionError) {
    const { name, message, reason, transient } = error;
    return JSON.stringify({ name, message, reason, transient, unknown });
  }
  if (error instanceof ChannelSizeError) {
    const { name, message, size, limit } = error;
    return JSON.stringify({ name, message, size, limit });
  }
  if (error instanceof ChannelConfigError) {
    const { name, message } = error;
    return JSON.stringify({ name, message });
  }
  return JSON.stringify({
    name: "ChannelConnectionError",
    message: "the home failed; its log says why",
    reason: "internal",
    transient: false,
  });
}

/**
 * Returns the error of a `NO` or `REFUSED`. An error class that is unknown here becomes a ChannelConnectionError.
 *
 * @param address the address of the home
 * @throws {ProtocolError} if a member has the wrong type
 */
export function errorOf({ fields }: Frame, address: string): ChannelError {
  const message = (stringField(fields, "message") ?? "the home gives no reason").slice(0, 2000);
  const name = stringField(fields, "name");
  const reason = stringField(fields, "reason");
  if (name === "ChannelClosedError") {
    return new ChannelClosedError(message, isIn(closeReasons, reason) ? { reason } : {});
  }
  if (name === "ChannelConfigError") return new ChannelConfigError(message);
  if (name === "ChannelSizeError") {
    const size = countField(fields, "size") ?? 0;
    return new ChannelSizeError(message, { size, limit: countField(fields, "limit") ?? 0 });
  }
  return new ChannelConnectionError(`${address}: ${message}`, {
    address,
    transient: booleanField(fields, "transient") ?? false,
    ...isIn(refusalReasons, reason) ? { reason } : {},
  });
}

const closeReasons = [
  "close",
  "closeAll",
  "drain",
  "delete",
  "missing",
] as const satisfies readonly CloseReason[];

const refusalReasons = [
  "login",
  "permission",
  "limit",
  "conflict",
  "missing",
  "unavailable",
  "internal",
] as const satisfies readonly RefusalReason[];

function isIn<T extends string>(list: readonly T[], text: string | undefined): text is T {
  return (list as readonly (string | undefined)[]).includes(text);
}

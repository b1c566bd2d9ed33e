import {
  ChannelConfigError,
  ChannelConnectionError,
  ChannelError,
  ChannelSizeError,
  type RefusalReason,
} from "../../shared/errors.ts";
import { connectAdvice } from "../remote/connect_advice.ts";
import { RedisRefusal, RespError } from "./connection/reply_reader.ts";
import { type Endpoint, shownEndpoint } from "../remote/uri_text.ts";
import type { RedisUri } from "./uri.ts";

/** Returns the error for a connection that could not be made. It says what to try. */
export function connectFailure(
  error: unknown,
  uri: RedisUri,
  endpoint: Endpoint,
): ChannelConnectionError {
  if (error instanceof ChannelConnectionError) return error;
  const { address } = uri;
  const text = textOf(error);
  if (error instanceof ChannelConfigError) {
    return new ChannelConnectionError(`cannot connect to ${address}: ${text}`, {
      address,
      transient: false,
      cause: error,
    });
  }
  const { advice, isTransient, reason } = explain(text, error instanceof RespError, uri, endpoint);
  const what = advice === undefined ? text : `${advice} (${text})`;
  return new ChannelConnectionError(`cannot connect to ${address}: ${what}`, {
    address,
    transient: isTransient,
    cause: error,
    ...reason === undefined ? {} : { reason },
  });
}

interface Explanation {
  readonly advice?: string;
  readonly isTransient: boolean;
  readonly reason?: RefusalReason;
}

function explain(
  text: string,
  isNoRedis: boolean,
  uri: RedisUri,
  endpoint: Endpoint,
): Explanation {
  const here = shownEndpoint(endpoint);
  if (/^(?:WRONGPASS|ERR invalid password|NOAUTH|ERR AUTH)/i.test(text)) {
    const user = uri.username ?? "default";
    const advice = /^NOAUTH/.test(text)
      ? "the server asks for a password; write it into the URI or the options"
      : `the server refused user ${user}; check user name and password`;
    return { advice, isTransient: false, reason: "login" };
  }
  if (/^NOPERM/.test(text)) {
    return {
      advice: "the user lacks a permission; see the page on Redis",
      isTransient: false,
      reason: "permission",
    };
  }
  if (/^ERR DB index|^ERR invalid DB/i.test(text)) {
    return {
      advice: `the server has no database ${uri.database}`,
      isTransient: false,
      reason: "missing",
    };
  }
  if (/max number of clients/i.test(text)) {
    return {
      advice: "the server allows no more clients; raise its maxclients",
      isTransient: true,
      reason: "limit",
    };
  }
  if (/^ERR This instance has cluster support disabled/i.test(text)) {
    return {
      advice: `${here} is not a node of a cluster; remove ?cluster from the URI`,
      isTransient: false,
      reason: "conflict",
    };
  }
  if (/^DENIED/.test(text)) {
    return {
      advice: "the server is in protected mode and refuses other hosts; give it a password",
      isTransient: false,
      reason: "permission",
    };
  }
  if (/unknown command|NOPROTO|unsupported/i.test(text)) {
    return {
      advice: `${here} is too old; Redis 7 or Valkey 8 or later is needed`,
      isTransient: false,
    };
  }
  if (/^(?:LOADING|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|BUSY|READONLY)/.test(text)) {
    return { isTransient: true, reason: "unavailable" };
  }
  const known = connectAdvice(text, endpoint.host, here, {
    server: "the server",
    ...uri.tls ? { plain: "redis://" } : {},
  });
  if (known.advice !== undefined) return known;
  if (isNoRedis || /no answer|closed|ECONNRESET/i.test(text)) {
    return {
      advice: `${here} does not answer as a Redis server; check that it is one, and ready`,
      isTransient: true,
    };
  }
  return known;
}

/**
 * Returns the error for a connection that was lost.
 *
 * @param server which of several servers it led to
 */
export function lostConnection(
  address: string,
  cause: Error,
  server?: string,
): ChannelConnectionError {
  if (cause instanceof ChannelConnectionError) return cause;
  const why = server === undefined ? textOf(cause) : `${server}: ${textOf(cause)}`;
  return new ChannelConnectionError(`the connection to ${address} was lost: ${why}`, {
    address,
    transient: true,
    cause: new Error(textOf(cause)),
  });
}

/** Returns the error for an operation that the server has refused. */
export function refusedBy(action: string, address: string, error: unknown): ChannelError {
  if (error instanceof ChannelError) return error;
  const text = textOf(error);
  const make = (problem: string, reason: RefusalReason, transient = false) =>
    new ChannelConnectionError(`${action}: ${problem} (${text})`, {
      address,
      transient,
      reason,
      cause: new Error(text),
    });
  if (/^OOM|^-?OOM|OOM command/.test(text)) {
    return make(`${address} has no memory left; raise its maxmemory, or get values`, "limit", true);
  }
  if (/^NOPERM/.test(text) || /can't run this command|No permission/i.test(text)) {
    return make(`the user lacks a permission on ${address}; see the page on Redis`, "permission");
  }
  if (/^MISCONF|^NOREPLICAS|^BUSY|^CLUSTERDOWN/.test(text)) {
    return make(`${address} takes no messages at the moment`, "unavailable", true);
  }
  if (/^WRONGTYPE/.test(text)) {
    return make(`${address} has keys of another program under this name`, "conflict");
  }
  return make(`${address} refused it`, "internal");
}

/** Returns the error for a message that the server would take, and close the connection of whoever gets it. */
export function tooLarge(
  action: string,
  address: string,
  size: number,
  limit: number,
): ChannelSizeError {
  return new ChannelSizeError(
    `${action}: the message has ${size} bytes, and ${address} delivers ${limit}; send it in parts, ` +
      "or raise client-output-buffer-limit of the class pubsub",
    { size, limit },
  );
}

/** Returns the error for a put with durability "quorum" that too few replicas have. */
export function underReplicated(action: string, address: string): ChannelConnectionError {
  return new ChannelConnectionError(
    `${action}: ${address} has it, and too few of its replicas confirmed it in time; check the replicas`,
    { address, transient: true, reason: "unavailable" },
  );
}

/** Reports whether the server cannot serve an operation at the moment. */
export function isUnavailable(error: unknown): boolean {
  return /^(?:MISCONF|NOREPLICAS|BUSY|CLUSTERDOWN|TRYAGAIN)/.test(textOf(error));
}

/**
 * Reports whether a script failed because of its connection or of the server's state, and not because of what it asked. A
 * server that has dropped the scripts, or has become a replica, is asked again on a new connection. So is one that refuses a
 * script for the moment: what was settled or withdrawn by it is settled or withdrawn again, in the order of the calls, when the
 * link has attached again.
 */
export function endsSession(error: unknown): boolean {
  return !(error instanceof RedisRefusal) ||
    /^(?:NOSCRIPT|READONLY|LOADING|MASTERDOWN|UNBLOCKED|GAP|LEFT|BUSY|MISCONF|NOREPLICAS)/.test(
      error.message,
    );
}

/** Reports whether a node of a cluster cannot run a script, because it does not have the slot, or does not have it alone. */
export function isElsewhere(error: unknown): boolean {
  return /^(?:MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b/.test(textOf(error));
}

/** Reports whether another node of the cluster has the slot. */
export function isMoved(error: unknown): boolean {
  return /^MOVED\b/.test(textOf(error));
}

/** Returns the error for a channel whose node does not serve it at the moment. */
export function elsewhere(address: string, error: unknown): ChannelConnectionError {
  const text = textOf(error);
  const problem = /^(?:ASK|TRYAGAIN)/.test(text)
    ? "the cluster is moving the slot of the channel to another node"
    : /^CLUSTERDOWN/.test(text)
    ? "the cluster serves no channels, because nodes are down"
    : "the cluster has moved the slot of the channel to another node";
  return new ChannelConnectionError(`${address}: ${problem} (${text})`, {
    address,
    transient: true,
    reason: "unavailable",
    cause: new Error(text),
  });
}

/** Reports whether the channel does not exist, or is another one of the same name. */
export function isMissing(error: unknown): boolean {
  return /^(?:GONE|MISSING) /.test(textOf(error));
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message || String(error) : String(error);
  return text.replace(/\s*[\r\n]+\s*/g, " ");
}

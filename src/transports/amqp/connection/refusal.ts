import type { RefusalReason } from "../../../shared/errors.ts";
import { leastChannels } from "../uri.ts";

/** The meaning of a refusal by the broker, as far as its reply tells. */
export interface Refusal {
  readonly reason?: RefusalReason;
  /** Whether waiting may help. */
  readonly isTransient: boolean;
  /** Whether the same request may succeed within seconds, so that it is worth repeating. */
  readonly mayPass?: boolean;
  /** What happened, and what to do about it. */
  readonly advice?: string;
}

/** A method of AMQP 0-9-1: its class and its number (section 1.2). */
export type Method = `${number}.${number}`;

export const exchangeDeclare: Method = "40.10";
export const queueDeclare: Method = "50.10";
export const queueBind: Method = "50.20";
export const queueDelete: Method = "50.40";

// Reply codes (section 1.2).
export const accessRefused = 403;
export const notFound = 404;
const resourceLocked = 405;
export const preconditionFailed = 406;
const resourceError = 506;
export const notAllowed = 530;
const notImplemented = 540;
const internalError = 541;

/**
 * Reads a refusal. RabbitMQ's texts differ by version. They are cut off (with `...`) after 255 bytes, which a long name
 * uses up, so they are recognized by their beginnings where possible.
 *
 * @param words the reply text
 * @param method the refused method, if known: before version 4 the text does not tell which permission is lacking
 */
export function readRefusal(code: number | undefined, words: string, method?: Method): Refusal {
  if (code === accessRefused) return readDenial(words, method);
  if (code === notFound) return isMissingText(words) ? missing : unavailable(words);
  if (code === resourceLocked) return readLock(words);
  if (code === preconditionFailed) return readPrecondition(words);
  if (code === notAllowed) return readDisallowed(words);
  if (code === notImplemented) {
    return {
      reason: "conflict",
      isTransient: false,
      advice: "the queue of this name is of a type that cannot be a channel; use another name",
    };
  }
  if (code === internalError) return readInternalError(words);
  if (code === resourceError) return unavailable(words);
  return temporary.test(words) ? unavailable(words) : { isTransient: false };
}

/** Reports whether a 404 means that a queue or exchange does not exist, and not that its node is down. */
export function isMissingText(words: string): boolean {
  return /\bno (queue|exchange) /.test(words);
}

const missing: Refusal = { reason: "missing", isTransient: false };

/** How an existing queue or exchange differs from its declaration. */
export interface Difference {
  readonly argument: string;
  /** The argument's value at the broker, or `none`; absent where the text is cut off before it. */
  readonly current: string | undefined;
}

/**
 * Reads what differs, from a refusal of a declaration. The broker names one argument: the first that differs, in an
 * order of its own.
 */
export function readDifference(words: string): Difference | undefined {
  const found = /inequivalent arg '([^']*)'(?:.* current is (?:the value )?(?:'([^']*)'|(none)))?/
    .exec(words);
  return found === null ? undefined : { argument: found[1]!, current: found[2] ?? found[3] };
}

/** What RabbitMQ says of a request that it cannot serve at the moment. */
const temporary = /not available|no leader|timeout|timed out|in progress/i;

function unavailable(words: string): Refusal {
  const advice = /down or inaccessible/.test(words)
    ? "the queue's node is down; start it again"
    : /stopped by supervisor|crashed/.test(words)
    ? "the queue has crashed at the broker; see the broker's log"
    : undefined;
  return {
    reason: "unavailable",
    isTransient: true,
    mayPass: true,
    ...advice === undefined ? {} : { advice },
  };
}

/** Reads a 541: a failure of the broker itself. */
function readInternalError(words: string): Refusal {
  const vhost = /vhost '([^']*)' is down/.exec(words)?.[1];
  return {
    reason: vhost === undefined ? "internal" : "unavailable",
    isTransient: true,
    mayPass: true,
    advice: vhost === undefined
      ? "the broker has failed; see the broker's log"
      : `vhost ${vhost} is down; see the broker's log, and start it with rabbitmqctl restart_vhost`,
  };
}

/** Reads a 403: the user lacks a permission, or no user may do it. */
function readDenial(words: string, method: Method | undefined): Refusal {
  const denied = denial.exec(words)?.groups;
  if (denied !== undefined) {
    // The authorization service has not answered, which says nothing about the user.
    if (/returned an error/.test(words)) return unavailable(words);
    return { reason: "permission", isTransient: false, advice: adviseGrant(denied, method) };
  }
  if (/in exclusive use/.test(words)) {
    return {
      reason: "conflict",
      isTransient: true,
      advice: "another program consumes from the queue exclusively; end it, or use another name",
    };
  }
  if (/Login was refused/.test(words)) return { reason: "login", isTransient: false };
  return { reason: "conflict", isTransient: false }; // such as an internal exchange: the text tells all
}

const denial =
  /(?:(?<verb>configure|write|read) )?access to (?<kind>queue|exchange|topic) '(?<name>[^']*)(?:.* refused for user '(?<user>[^']*)')?/;

/** Says which permission the user lacks. */
function adviseGrant(denied: Record<string, string | undefined>, method?: Method): string {
  const { kind, name = "", user } = denied;
  const verb = denied.verb ?? (name === "amq.default" // to which a client can only publish
    ? "write"
    : method && permissions[kind as "queue" | "exchange"]?.[method]);
  const permission = verb === undefined ? "a permission" : `the permission "${verb}"`;
  const needed = name.startsWith("amq.gen-") ? "amq.gen-.*" : name;
  const isCommon = needed !== name || name === "amq.direct";
  return `user ${user ?? "of this connection"} lacks ${permission} for ${kind} ${needed}` +
    `${isCommon ? ", which every connection needs" : ""}; ` +
    `its pattern must match ${needed} (rabbitmqctl set_permissions)`;
}

/** The permission that each method needs (https://www.rabbitmq.com/docs/access-control#authorisation). */
const permissions: Record<"queue" | "exchange", Readonly<Partial<Record<Method, string>>>> = {
  queue: {
    [queueDeclare]: "configure",
    [queueDelete]: "configure",
    [queueBind]: "write",
    "50.50": "write", // queue.unbind
    "60.20": "read", // basic.consume
    "60.70": "read", // basic.get
  },
  exchange: {
    [exchangeDeclare]: "configure",
    "40.20": "configure", // exchange.delete
    [queueBind]: "read",
    "50.50": "read", // queue.unbind
    "60.40": "write", // basic.publish
  },
};

/** Reads a 405: the queue belongs to another connection or consumer. */
function readLock(words: string): Refusal {
  return /single active consumer/.test(words)
    ? {
      reason: "conflict",
      isTransient: false,
      advice: "the queue has a single active consumer, and allows no basic.get; use another name",
    }
    : {
      reason: "conflict",
      isTransient: true,
      advice: "the queue is exclusive to another connection; end that, or use another name",
    };
}

/** Reads a 406: a limit, a different declaration, or a message that the broker does not accept. */
function readPrecondition(words: string): Refusal {
  if (/cannot declare (queue|exchange) /.test(words)) return readDeclarationLimit(words);
  const difference = readDifference(words);
  if (difference !== undefined) {
    const { argument, current } = difference;
    const what = /for ((?:queue|exchange) '[^']*')/.exec(words)?.[1] ?? "the queue or exchange";
    const value = current === undefined ? "" : `, ${current === "none" ? current : `'${current}'`}`;
    return {
      reason: "conflict",
      isTransient: false,
      advice: `${what} exists with another ${argument}${value}; delete it, or use another name`,
    };
  }
  if (/delivery acknowledgement on channel/.test(words)) {
    return {
      isTransient: false,
      advice: "a delivery was held for longer than the broker's consumer_timeout",
    };
  }
  return temporary.test(words) ? unavailable(words) : { isTransient: false };
}

function readDeclarationLimit(words: string): Refusal {
  const vhost = /queue limit in vhost '([^']*)' \((\d+)\)/.exec(words);
  if (vhost !== null) {
    return limit(`vhost ${vhost[1]}`, vhost[2], "queues", "max-queues of the vhost");
  }
  const cluster = /queue limit in cluster \((\d+)\)/.exec(words);
  if (cluster !== null) return limit("the cluster", cluster[1], "queues", "cluster_queue_limit");
  if (/exchange limit|cannot declare exchange/.test(words)) {
    const most = /exchange limit of (\d+)/.exec(words)?.[1];
    return limit("the cluster", most, "exchanges", "cluster_exchange_limit");
  }
  return limit("the vhost or the cluster", undefined, "queues", "that limit");
}

/** Reads a 530: a limit, or a vhost that does not exist or is forbidden to the user. */
function readDisallowed(words: string): Refusal {
  const most = /\blimit (?:of )?\(?(\d+)\)?/.exec(words)?.[1];
  const user = /\buser '([^']*)'/.exec(words)?.[1];
  const vhost = /\bvhost '([^']*)'/.exec(words)?.[1];
  if (isTooManyChannels(words)) {
    return /on node/.test(words)
      ? limit("the broker's node", most, channels, "channel_max_per_node")
      // RabbitMQ 4.0 names its node where it means the user.
      : limit("the user", most, channels, "max-channels of the user");
  }
  if (/consumers per channel/.test(words)) {
    const each = /maximum \((\d+)\)/.exec(words)?.[1];
    return limit("an AMQP channel", each, "consumers", "consumer_max_per_channel");
  }
  if (/user connection limit/.test(words)) {
    return limit(`user ${user}`, most, "connections", "max-connections of the user");
  }
  if (/node connection limit/.test(words)) {
    return limit("the broker's node", most, "connections", "its connection_max");
  }
  if (/connection limit \(/.test(words)) {
    return limit(`vhost ${vhost}`, most, "connections", "max-connections of the vhost");
  }
  if (/\btimeout\b/.test(words)) return unavailable(words);
  const unknown = /vhost (.*) not found/.exec(words)?.[1];
  if (unknown !== undefined) {
    return {
      reason: "missing",
      isTransient: false,
      advice: `vhost ${unknown} does not exist; correct the URI, or add it (rabbitmqctl add_vhost)`,
    };
  }
  if (vhost !== undefined) {
    return {
      reason: "permission",
      isTransient: false,
      advice: `user ${user} may not use vhost ${vhost}; ` +
        "grant permissions there (rabbitmqctl set_permissions)",
    };
  }
  return { isTransient: false };
}

/** Reports whether a reply text says that a user or a node has too many AMQP channels. */
export function isTooManyChannels(words: string): boolean {
  return /\bnumber of channels\b/.test(words);
}

const channels = "AMQP channels";

/**
 * Describes a limit that is reached. Waiting may help, as others may leave room, unless the limit is too low for any
 * use.
 *
 * @param option the setting that raises the limit
 */
function limit(whose: string, most: string | undefined, things: string, option: string): Refusal {
  const least = things === channels ? leastChannels : 1;
  const isHopeless = most !== undefined && Number(most) < least;
  const verb = things === "queues" || things === "exchanges" ? "delete" : "close";
  return {
    reason: "limit",
    isTransient: !isHopeless,
    advice:
      `${whose} has reached ${most === undefined ? "the limit on" : `the limit of ${most}`} ` +
      `${things}${things === channels ? `, and a connection needs ${least}` : ""}; ` +
      `${isHopeless ? "" : `${verb} some, or `}raise ${option}`,
  };
}

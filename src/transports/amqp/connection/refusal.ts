import type { RefusalReason } from "../../../shared/errors.ts";

/** What the broker means by a refusal, as far as its words tell. */
export interface Refusal {
  readonly reason?: RefusalReason;
  /** Whether waiting may help. */
  readonly isTransient: boolean;
  /** Whether the same request may succeed within seconds, and so is made again. */
  readonly mayPass?: boolean;
  /** What is the matter; what to do about it. */
  readonly advice?: string;
}

/** A method of AMQP 0-9-1 that the broker has refused: its class and its number (section 1.2). */
export type Method = `${number}.${number}`;

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
 * Reads a refusal. RabbitMQ's words differ by version, and end after 255 bytes (with `...`), which a long name uses up:
 * so it is told by what they begin with where that is enough.
 *
 * @param words the reply text
 * @param method what was refused, where that is known: before version 4 the words do not tell the permission
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
      advice: "what has this name is of a type that cannot be a channel; use another name",
    };
  }
  if (code === internalError) return readInternalError(words);
  if (code === resourceError) return unavailable(words);
  return passing.test(words) ? unavailable(words) : { isTransient: false };
}

/** Whether a 404 says that a queue or exchange does not exist, and not that its node is down. */
export function isMissingText(words: string): boolean {
  return /\bno (queue|exchange) /.test(words);
}

const missing: Refusal = { reason: "missing", isTransient: false };

/** What RabbitMQ says of what it cannot do at the moment. */
const passing = /not available|no leader|timeout|timed out|in progress/i;

function unavailable(words: string): Refusal {
  const advice = /down or inaccessible/.test(words)
    ? "the queue's node is down; start it again"
    : /stopped by supervisor|crashed/.test(words)
    ? "the queue has failed at the broker; its log says why"
    : undefined;
  return {
    reason: "unavailable",
    isTransient: true,
    mayPass: true,
    ...advice === undefined ? {} : { advice },
  };
}

/** 541: the broker has failed at it. */
function readInternalError(words: string): Refusal {
  const vhost = /vhost '([^']*)' is down/.exec(words)?.[1];
  return {
    reason: vhost === undefined ? "internal" : "unavailable",
    isTransient: true,
    mayPass: true,
    advice: vhost === undefined
      ? "the broker has failed at it; its log says why"
      : `vhost ${vhost} is down; the broker's log says why, and rabbitmqctl restart_vhost starts it again`,
  };
}

/** 403: the user may not, or nobody may. */
function readDenial(words: string, method: Method | undefined): Refusal {
  const denied = denial.exec(words)?.groups;
  if (denied !== undefined) {
    // An authorization service that does not answer is not the user's lack.
    if (/returned an error/.test(words)) return unavailable(words);
    return { reason: "permission", isTransient: false, advice: adviseGrant(denied, method) };
  }
  if (/in exclusive use/.test(words)) {
    return {
      reason: "conflict",
      isTransient: true,
      advice:
        "another program is the queue's only consumer (exclusive); end it, or use another name",
    };
  }
  if (/Login was refused/.test(words)) return { reason: "login", isTransient: false };
  return { reason: "conflict", isTransient: false }; // as of an internal exchange: its words say all
}

const denial =
  /(?:(?<verb>configure|write|read) )?access to (?<kind>queue|exchange|topic) '(?<name>[^']*)(?:.* refused for user '(?<user>[^']*)')?/;

/** Which permission the user lacks, for what. */
function adviseGrant(denied: Record<string, string | undefined>, method?: Method): string {
  const { kind, name = "", user } = denied;
  const verb = denied.verb ?? (name === "amq.default" // to which one can only publish
    ? "write"
    : method && permissions[kind as "queue" | "exchange"]?.[method]);
  const permission = verb === undefined ? "a permission" : `the permission "${verb}"`;
  const needed = name.startsWith("amq.gen-") ? "amq.gen-.*" : name;
  const isCommon = needed !== name || name === "amq.direct";
  return `user ${user ?? "of this connection"} lacks ${permission} for ${kind} ${needed}` +
    `${isCommon ? ", which every connection needs" : ""}; ` +
    `its pattern must match ${needed} (rabbitmqctl set_permissions)`;
}

/**
 * What a request needs of a queue or an exchange (https://www.rabbitmq.com/docs/access-control#authorisation), by the
 * class and the number of its method.
 */
const permissions: Record<"queue" | "exchange", Readonly<Partial<Record<Method, string>>>> = {
  queue: {
    "50.10": "configure", // queue.declare
    "50.40": "configure", // queue.delete
    "50.20": "write", // queue.bind
    "50.50": "write", // queue.unbind
    "60.20": "read", // basic.consume
    "60.70": "read", // basic.get
  },
  exchange: {
    "40.10": "configure", // exchange.declare
    "40.20": "configure", // exchange.delete
    "50.20": "read", // queue.bind
    "50.50": "read", // queue.unbind
    "60.40": "write", // basic.publish
  },
};

/** 405: the queue is another's, or cannot be asked. */
function readLock(words: string): Refusal {
  return /single active consumer/.test(words)
    ? {
      reason: "conflict",
      isTransient: false,
      advice: "the queue has a single active consumer, and cannot be asked; use another name",
    }
    : {
      reason: "conflict",
      isTransient: true,
      advice: "the queue is exclusive to another connection; end that, or use another name",
    };
}

/** 406: a limit, something that is declared otherwise, or what the broker does not take. */
function readPrecondition(words: string): Refusal {
  if (/cannot declare (queue|exchange) /.test(words)) return readDeclarationLimit(words);
  const other =
    /inequivalent arg '(?<arg>[^']*)' for (?<what>(?:queue|exchange) '[^']*')(?:.* current is (?:the value )?(?<is>'[^']*'|none))?/
      .exec(words)?.groups;
  if (other !== undefined) {
    const { arg, what, is } = other;
    return {
      reason: "conflict",
      isTransient: false,
      advice: `${what} is there with another ${arg}${is === undefined ? "" : `, ${is}`}; ` +
        "delete it, or use another name",
    };
  }
  if (/delivery acknowledgement on channel/.test(words)) {
    return {
      isTransient: false,
      advice: "a delivery was held for longer than the broker's consumer_timeout",
    };
  }
  return passing.test(words) ? unavailable(words) : { isTransient: false };
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

/** 530: a limit, or a vhost that is not there or not for this user. */
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
      advice:
        `user ${user} may not use vhost ${vhost}; give it permissions there (rabbitmqctl set_permissions)`,
    };
  }
  return { isTransient: false };
}

/** Whether words say that there are too many AMQP channels, of a user or a node. */
export function isTooManyChannels(words: string): boolean {
  return /\bnumber of channels\b/.test(words);
}

const channels = "AMQP channels";

/** AMQP channels that a connection needs: for puts, for announcements, for gets, and for all else. */
export const leastChannels = 4;

/**
 * A limit is reached. Others may leave room: but not where it is too low for anyone.
 *
 * @param option what raises it
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

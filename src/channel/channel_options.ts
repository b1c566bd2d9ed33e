import type { ConnectionOption } from "../connection/connection.ts";
import { connectionFor, reportFor } from "../connection/configured.ts";
import { defaultEncoding } from "../encoding/encoding.ts";
import { brand } from "../handle/channel_registry.ts";
import type { HandleOptions } from "../handle/handle.ts";
import { errorOfAction } from "../shared/error_copies.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { anonymousName, checkName, deadLettersName } from "../shared/names.ts";
import type { Signature } from "../shared/options.ts";
import { withoutCredentials } from "../shared/redact.ts";

/** What a channel is made from; every part may be left out. */
export interface ChannelOptions {
  /**
   * The same name on the same connection is the same channel, in any process and on any host. Absent: a new channel,
   * whose name nobody else knows.
   */
  readonly name?: string;
  /**
   * How the channel is reached: a URI such as `amqp://user:password@host/vhost` or `memory:`, or a transport. Absent:
   * the environment variable `CHANNELTS_URI`, else the file that `CHANNELTS_CONFIG` names or `~/.channelts.yml`, else
   * `~/.channelpy.yml`, else `memory:`.
   *
   * References in messages may name the broker for as long as a channel or a {@linkcode Connection} is referred to that
   * was made with this option, and, where it was absent, for the life of the process.
   */
  readonly connection?: ConnectionOption;
  /**
   * How this handle writes values; it reads both, and its other users may choose otherwise.
   *
   * `"cbor"`, the default (RFC 8949, `application/cbor`), carries whatever a channel can.
   *
   * `"json"` (RFC 8259, `application/json`) is for ChannelPy and whoever else reads JSON. It carries null, booleans,
   * finite numbers, strings, arrays, plain objects and class instances (their own enumerable properties), and channels,
   * as ChannelPy writes them: an object with `"__channel__": true`, which is why no other object may have that key. An
   * object with a method `toJSON` travels as what that returns, and one that occurs twice is written twice. What JSON
   * cannot say is refused, where `JSON.stringify` would change it or leave it out: `undefined`, also as a property,
   * bigints, NaN, infinities, -0, Date, Map, Set, binary data, functions and cycles.
   *
   * A channel that is received inside a JSON message writes JSON, since whoever sent it may read nothing else. Integers
   * beyond 2^53 that others send lose precision. A channel that ChannelPy is to attach to needs a name, and no
   * `expires`.
   */
  readonly encoding?: "cbor" | "json";
  /**
   * Whether errors inside values take their `stack` along, as with `structuredClone`: default true. It names files of
   * this machine, and what the receiver should not know may be better left out.
   */
  readonly stacks?: boolean;
  /**
   * Milliseconds for which an operation goes on while the broker cannot be reached; 10,000 unless configured.
   * `Infinity` waits for the broker as long as it takes.
   */
  readonly retryTimeout?: number;
  /**
   * How often a value that was received with {@linkcode Channel.receive} is tried: 1 or more. What was released, or
   * held by a process that died, so many times goes to {@linkcode Channel.deadLetters}. Default: without limit.
   *
   * Where a dead letter cannot be put (the user may not declare that channel, or it is full), it is tried for
   * `retryTimeout`, 60,000 ms at most, and then given back: the `receive` that waits, or else the next, rejects with a
   * ChannelError whose `cause` says why, and the connection's logger is told.
   */
  readonly maxAttempts?: number;
  /**
   * How many values a channel that is created now holds: while so many wait, or are received and not settled, a put
   * waits. One that exists stays as it is. Default: any number.
   *
   * With `0` nothing is held: a put waits until someone takes its value, and where it is given up before that, nobody
   * ever gets it; as with Go's unbuffered channels.
   *
   * On RabbitMQ received values do not count (`x-max-length` and `x-overflow: reject-publish`), and every operation of
   * a handle with `0` rejects with a {@linkcode ChannelConfigError}: the broker stores a value before anyone takes it.
   * Use {@linkcode Channel.request} to know that a value was handled, or a capacity of 1.
   */
  readonly capacity?: number;
  /**
   * How RabbitMQ keeps a channel that is created now: `"classic"`, the default, on one node; `"quorum"` on the majority
   * of a cluster's nodes, so that it survives the loss of any one of three
   * (https://www.rabbitmq.com/docs/quorum-queues). One that exists stays as it is.
   */
  readonly durability?: "classic" | "quorum";
  /**
   * Milliseconds, 100 or more, for which the channel outlives its use. Default: 1,800,000 (30 minutes) for a channel
   * without a name; a named channel lasts until it is deleted. A handle on it counts as use; with less than the
   * default, only one that was made with this option does, not a reference.
   */
  readonly expires?: number;
}

/** The options that a function was called with, which takes a channel's name, its options, or nothing. */
function optionsOf(
  signature: Signature,
  given: string | ChannelOptions,
  args: IArguments,
): ChannelOptions {
  const { action } = signature;
  if (args.length > 0 && args[0] === undefined) {
    throw new ChannelConfigError(
      `${action}: the name is undefined; leave it out for an anonymous channel`,
    );
  }
  if (typeof given === "object" && given !== null && brand in given) {
    throw new ChannelConfigError(
      `${action}: got a channel; write ch.dup() for a second handle on it`,
    );
  }
  const options = typeof given === "string" ? { name: given } : given;
  signature.check(options, args.length);
  if (options.name !== undefined) checkOwnName(action, options.name, options.connection);
  return options;
}

/** Refuses a name that no channel can have, or that was meant to be a connection. */
function checkOwnName(action: string, name: string, connection: unknown): void {
  if (connection === undefined && /^(?:memory:|sqlite:(?:[./~].*)?|amqps?:\/\/.*)$/is.test(name)) {
    throw new ChannelConfigError(
      `${action}: a channel's name must not be a URI, such as ${withoutCredentials(name)}; ` +
        "write { connection: uri }",
    );
  }
  try {
    checkName(name);
  } catch (error) {
    throw new ChannelConfigError(`${action}: ${(error as Error).message}`);
  }
}

/**
 * What a handle is made from by a function that takes a channel's name, its options, or nothing.
 *
 * @param origin what the channel is a clone of
 */
export function handleOptions(
  signature: Signature,
  given: string | ChannelOptions,
  args: IArguments,
  origin?: HandleOptions,
): HandleOptions {
  const options = optionsOf(signature, given, args);
  try {
    return connectedOptions(options, origin);
  } catch (error) {
    throw errorOfAction(signature.action, error);
  }
}

export function connectedOptions(options: ChannelOptions, origin?: HandleOptions): HandleOptions {
  const { name, connection, expires, maxAttempts, capacity, durability = "classic" } = options;
  if (maxAttempts !== undefined && name !== undefined) deadLettersName(name); // throws where it is too long
  return {
    name: name ?? anonymousName(),
    connection: connection === undefined && origin !== undefined
      ? origin.connection
      : connectionFor(connection),
    report: connection === undefined && origin !== undefined
      ? origin.report
      : reportFor(connection),
    encoding: options.encoding ?? origin?.encoding ?? defaultEncoding,
    stacks: options.stacks ?? origin?.stacks ?? true,
    retryTimeout: options.retryTimeout ?? origin?.retryTimeout,
    lease: expires === undefined
      ? name === undefined ? defaultLease : undefined
      : Math.round(expires),
    quorum: durability === "quorum",
    maxAttempts,
    capacity,
    create: true,
    owned: name === undefined,
  };
}

/** Milliseconds. */
export const defaultLease: number = 30 * 60 * 1000;

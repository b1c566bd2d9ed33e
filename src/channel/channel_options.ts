import type { ConnectionOption } from "../connection/connection.ts";
import { connectionFor, reportFor } from "../connection/configured.ts";
import { defaultEncoding } from "../encoding/encoding.ts";
import { formatOf } from "../encoding/message.ts";
import { brand } from "../handle/channel_registry.ts";
import type { HandleOptions } from "../handle/handle.ts";
import { errorOfAction } from "../shared/error_copies.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { anonymousName, checkName, deadLettersName } from "../shared/names.ts";
import type { Signature } from "../shared/options.ts";
import { withoutCredentials } from "../shared/redact.ts";

/** The options of a {@linkcode Channel}; all are optional. */
export interface ChannelOptions {
  /**
   * The name of the channel. Handles with the same name and connection use the same channel, in any process and on any
   * host. Default: a new, unique name.
   */
  readonly name?: string;
  /**
   * The connection: a URI such as `amqp://user:password@host/vhost` or `memory:`, a {@linkcode Connection}, or a
   * transport. Default: the environment variable `CHANNELTS_URI`, else the file that `CHANNELTS_CONFIG` names or
   * `~/.channelts.yml`, else `~/.channelpy.yml`, else `memory:`.
   *
   * References in messages may refer to the broker as long as the program holds a channel or a Connection that was made
   * with this option; to the default connection they always may.
   */
  readonly connection?: ConnectionOption;
  /**
   * The encoding of the values that this handle puts. Every handle reads both encodings.
   *
   * `"cbor"`, the default (RFC 8949, `application/cbor`), encodes every value that a channel carries.
   *
   * `"json"` (RFC 8259, `application/json`) is for ChannelPy and other programs that read JSON. It encodes null,
   * booleans, finite numbers, strings, arrays, plain objects, the own enumerable properties of class instances, and
   * channels, as ChannelPy does: a channel is an object with `"__channel__": true`, a key that no other object may
   * have. If an object has a method `toJSON`, its result is encoded. An object that occurs twice is encoded twice.
   *
   * Values that JSON would change or omit are refused: `undefined`, also as a property, bigints, NaN, infinities, -0,
   * Date, Map, Set, binary data, functions and cycles.
   *
   * A channel that is received in a JSON message encodes JSON, because its sender may read nothing else. Integers
   * beyond 2^53 in a JSON message lose precision. ChannelPy can attach only to a channel with a name and without
   * `expires`.
   */
  readonly encoding?: "cbor" | "json";
  /**
   * Whether errors inside values are sent with their `stack`, as by `structuredClone`; default true. A stack names
   * files of this machine, which the receiver may not be meant to know.
   */
  readonly stacks?: boolean;
  /**
   * Milliseconds for which an operation waits for an unreachable broker; default 10,000 or the configured value. With
   * `Infinity` there is no limit.
   */
  readonly retryTimeout?: number;
  /**
   * How often, 1 or more, a value may be received with {@linkcode Channel.receive} and not be accepted; default: no
   * limit. A value that was released so often, or held by processes that died, becomes a dead letter: it moves to
   * {@linkcode Channel.deadLetters}.
   *
   * If a dead letter cannot be put there, for example because that channel is full or the user may not declare it, the
   * put is retried for `retryTimeout`, 60,000 ms at most. Then the value is released, the logger of the connection is
   * called, and the pending or next `receive` rejects with a ChannelError whose `cause` is the reason.
   */
  readonly maxAttempts?: number;
  /**
   * The number of values that the channel holds, if it is created now, including received values that are not settled.
   * A put waits while the channel is full. Default: no limit. The capacity of an existing channel does not change.
   *
   * With `0` a put waits until a consumer takes its value, as with Go's unbuffered channels. If the put is given up
   * before, no consumer ever gets the value.
   *
   * RabbitMQ does not count received values (`x-max-length` and `x-overflow: reject-publish`). It stores a value before
   * a consumer takes it, so the operations of a handle with `0` reject with a {@linkcode ChannelConfigError}: use
   * {@linkcode Channel.request} to know that a value was handled, or a capacity of 1.
   */
  readonly capacity?: number;
  /**
   * How RabbitMQ stores the channel, if it is created now: `"classic"`, the default, on one node; `"quorum"` on the
   * majority of a cluster's nodes, so that the channel survives the loss of one node of three
   * (https://www.rabbitmq.com/docs/quorum-queues). An existing channel does not change. On Redis, a put with `"quorum"`
   * waits for half of the server's replicas.
   */
  readonly durability?: "classic" | "quorum";
  /**
   * Milliseconds, 100 or more, after which an unused channel is deleted. Default: 1,800,000 (30 minutes) for a channel
   * without a name; a channel with a name is not deleted. An attached handle uses the channel, except
   * a handle from a reference if `expires` is less than the default.
   */
  readonly expires?: number;
}

/** Returns the options with which a function was called that takes the name of a channel, its options, or nothing. */
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

/** Refuses an invalid name, and a URI, which was probably meant as the connection. */
function checkOwnName(action: string, name: string, connection: unknown): void {
  if (
    connection === undefined &&
    /^(?:memory:|sqlite:(?:[./~].*)?|(?:amqps?|rediss?|zmq|wss?):\/\/.*)$/is.test(name)
  ) {
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
 * Returns the options of the handle that a function makes from the name of a channel, its options, or nothing.
 *
 * @param origin the options of the handle that is cloned
 */
export function handleOptions(
  signature: Signature,
  given: string | ChannelOptions,
  args: IArguments,
  origin?: HandleOptions,
): HandleOptions {
  const options = optionsOf(signature, given, args);
  try {
    return resolvedOptions(options, origin);
  } catch (error) {
    throw errorOfAction(signature.action, error);
  }
}

/** Returns the options of a handle, with defaults. @param origin the options of the handle that is cloned */
export function resolvedOptions(options: ChannelOptions, origin?: HandleOptions): HandleOptions {
  const { name, connection, expires, maxAttempts, capacity, durability = "classic" } = options;
  if (maxAttempts !== undefined && name !== undefined) deadLettersName(name); // throws if the name is too long
  const encoding = options.encoding ?? origin?.encoding ?? defaultEncoding;
  formatOf(encoding); // throws if the entry does not have it
  const { connection: shared, report } = connection === undefined && origin !== undefined
    ? origin
    : { connection: connectionFor(connection), report: reportFor(connection) };
  return {
    name: name ?? anonymousName(),
    connection: shared,
    report,
    encoding,
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

/** Milliseconds for which an anonymous channel outlives its use. */
export const defaultLease: number = 30 * 60 * 1000;

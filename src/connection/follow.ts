// Connections to addresses that messages name, if the program's function `follow` allows it. The functions decide about
// every reference anew; this file keeps what one of them has allowed.
//
// Invariants: an address is passed to the function only if it is canonical, names a network, and contains no credential.
// A connection that is made here is found by no reference but those about which the same function is asked. At most
// `mostFollowed` of the connections that one function has allowed have channels attached at a time.

import { type WeakReference, weakReference } from "../shared/collection.ts";
import { ChannelConnectionError, ChannelReferenceError } from "../shared/errors.ts";
import { none } from "../shared/options.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { connectionFor, unlisted } from "./configured.ts";
import { Connection, setFollower } from "./connection.ts";
import type { ConnectionOptions, Follow } from "./connection_options.ts";
import { parseUri } from "./schemes.ts";
import type { Follower, SharedConnection } from "./shared_connection.ts";

/** The most connections of one function that have channels attached at a time. */
export const mostFollowed = 256;

/** The most addresses that one function has allowed and that are remembered. */
const mostRemembered = 4 * mostFollowed;

/** The greatest length of an address that is followed. */
const longestAddress = 2048;

/** The constructor with the third argument that only this file passes. */
const UnlistedConnection = Connection as new (
  uri: string,
  options: ConnectionOptions,
  listing: typeof unlisted,
) => Connection;

/** The connections that a function has allowed, by their addresses. Those in use are always here. */
class Allowed {
  readonly #follow: Follow;
  readonly #connections = new Map<string, WeakReference<SharedConnection>>();

  constructor(follow: Follow) {
    this.#follow = follow;
  }

  /** As {@linkcode Follower}. */
  to(address: string, name: string): SharedConnection | undefined {
    if (!isFollowable(address)) return undefined;
    try {
      const answer: unknown = this.#follow(address);
      if (answer === false || answer === undefined) return undefined;
      const known = this.#connections.get(address)?.deref();
      return known ?? this.#make(address, (answer === true ? none : answer) as ConnectionOptions);
    } catch (cause) {
      throw new ChannelReferenceError(
        `a reference to channel ${name} names ${
          withoutCredentials(address)
        }, and the function follow ` +
          "has failed or returned options that are invalid; the cause says why",
        { cause },
      );
    }
  }

  #make(address: string, options: ConnectionOptions): SharedConnection {
    const connection = connectionFor(
      new UnlistedConnection(address, options, unlisted),
    ) as SharedConnection;
    connection.onUse = () => this.#checkNumber(address);
    this.#connections.set(address, weakReference(connection));
    if (this.#connections.size > mostRemembered) this.#forget();
    return connection;
  }

  /** @throws {ChannelConnectionError} if no further connection may be used */
  #checkNumber(address: string): void {
    let used = 0;
    for (const ref of this.#connections.values()) if (ref.deref()?.isUsed) used++;
    if (used < mostFollowed) return;
    throw new ChannelConnectionError(
      `attach: ${address}: ${mostFollowed} connections that the function follow has allowed are in use; ` +
        "close channels that have arrived in messages",
      { address, reason: "limit" },
    );
  }

  /** Forgets the connections that are not in use. A later reference makes a new one. */
  #forget(): void {
    for (const [address, ref] of this.#connections) {
      if (!ref.deref()?.isUsed) this.#connections.delete(address);
    }
  }
}

/** Reports whether a text is the canonical address of a broker or a home, without a credential. */
function isFollowable(address: string): boolean {
  if (address.length > longestAddress) return false;
  try {
    const { scheme, parsed } = parseUri(address);
    return parsed.address === address && scheme.reach === "network";
  } catch {
    return false; // not the address of a scheme that this process knows
  }
}

const allowedBy = new WeakMap<Follow, Allowed>();

/** Returns how a connection with this function finds the connections of the addresses in its messages. */
export function followerOf(follow: Follow): Follower {
  let allowed = allowedBy.get(follow);
  if (allowed === undefined) allowedBy.set(follow, allowed = new Allowed(follow));
  return (address, name) => allowed.to(address, name);
}

/** Adds the option `follow`, which the entry ./memory does not have. */
export function enableFollowing(): void {
  setFollower(followerOf);
}

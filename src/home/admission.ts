import { setOptionalTimeout, unref } from "../shared/timers.ts";
import type { Newcomer } from "./acceptor.ts";

/** The limits of connections that are not admitted yet. */
export interface AdmissionLimits {
  /** The largest frame of an admitted peer, in bytes. */
  readonly frame: number;
  /** How many connections of one address may wait for admission. */
  readonly newcomers: number;
  /** For how many milliseconds a connection may wait for admission. */
  readonly admission: number;
}

/** The largest frame of a peer that is not admitted yet, in bytes. */
const firstFrame = 1024;

/** How many connections of all addresses may wait for admission, as a multiple of those of one address. */
const addresses = 16;

/**
 * The connections that are not admitted yet. A connection is admitted when the home has accepted the greeting of the
 * peer.
 *
 * Invariant: each connection that waits has a timer that ends it.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #waiting = new Map<string, Set<WaitingConnection>>();
  #size = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Adds a connection; undefined if too many wait. See `Acceptor.arrived`. */
  arrived(address: string, expire: () => void): WaitingConnection | undefined {
    const { newcomers, admission } = this.#limits;
    const source = sourceOf(address);
    const others = this.#waiting.get(source) ?? new Set();
    if (others.size >= newcomers || this.#size >= addresses * newcomers) return undefined;
    const connection = new WaitingConnection(this.#limits.frame, admission, expire, () => {
      others.delete(connection);
      this.#size--;
      if (others.size === 0) this.#waiting.delete(source);
    });
    others.add(connection);
    this.#size++;
    this.#waiting.set(source, others);
    return connection;
  }

  /** Ends the connections that wait. */
  close(): void {
    for (const waiting of [...this.#waiting.values()]) {
      for (const connection of [...waiting]) connection.end();
    }
  }
}

/** A connection, from its arrival to its end. It counts among those that wait until it is admitted or gone. */
export class WaitingConnection implements Newcomer {
  maxFrame: number = firstFrame;
  readonly #largest: number;
  readonly #expire: () => void;
  readonly #left: () => void;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  #isWaiting = true;

  /** @param left called once, when the connection no longer waits */
  constructor(largest: number, ms: number, expire: () => void, left: () => void) {
    this.#largest = largest;
    this.#expire = expire;
    this.#left = left;
    this.#timer = setOptionalTimeout(() => this.end(), ms);
    if (this.#timer !== undefined) unref(this.#timer);
  }

  /** The home has accepted the peer. */
  admit(): void {
    this.maxFrame = this.#largest;
    this.gone();
  }

  gone(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    clearTimeout(this.#timer);
    this.#left();
  }

  /** Closes the connection, which was not admitted. */
  end(): void {
    if (!this.#isWaiting) return;
    this.gone();
    this.#expire();
  }
}

/** Returns what counts as one address: an IPv4 address, or the network of an IPv6 address, which has 64 bits. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [first = "", rest] = address.replace(/%.*$/, "").split("::");
  const groups = first === "" ? [] : first.split(":");
  if (rest !== undefined) {
    const last = rest === "" ? 0 : rest.split(":").length;
    while (groups.length + last < 8) groups.push("0");
  }
  return groups.slice(0, 4).map((group) => group.toLowerCase().replace(/^0+(?=.)/, "")).join(":");
}

import type { ChannelOptions } from "../../mod.ts";
import type { State } from "../conformance/fixture.ts";
import type { Framing } from "../support/framing.ts";

/** What faults happen to: a broker or a home, in a process of its own. */
export interface Server {
  /** The port of 127.0.0.1 that a proxy forwards to. */
  readonly port: number;
  /** The URI that reaches the server without a proxy. */
  readonly uri: string;
  readonly framing: Framing;
  /** The URI of a connection of this name, to the server or to a proxy before it. */
  uriAt(port: number, name: string): string;
  /** Reports whether a connection of this name is open that is attached to a channel. */
  isAttached(connection: string, channel: string): Promise<boolean>;
  /** How many connections get the announcements of a channel. */
  listeners(channel: string): Promise<number>;
  /** Puts values in JSON, without the library. */
  put(channel: string, values: readonly number[]): Promise<void>;
  /** What the server holds. */
  state(): Promise<State>;
  /** Options of every channel of a fault. */
  channelOptions(isQuorum: boolean): ChannelOptions;
}

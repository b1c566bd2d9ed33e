import type { AMQPBaseClient } from "@cloudamqp/amqp-client";
import { setTimeout as pause } from "node:timers/promises";
import { Client, type TlsOptions } from "../connection/client.ts";
import type { Endpoint } from "../../remote/uri_text.ts";
import type { AmqpUri } from "../uri.ts";

/** What a broker says of itself before the login. */
export interface BrokerProperties {
  /** Such as `RabbitMQ`. */
  readonly product: string;
  /** Such as `4.3.6`. */
  readonly version: string;
  /** Such as `Erlang/OTP 25.2.3`. */
  readonly platform: string;
  readonly cluster: string;
  /** The ways to log in, such as `PLAIN AMQPLAIN`. */
  readonly mechanisms: string;
}

type View = Parameters<AMQPBaseClient["parseFrames"]>[0];

/** A connection to a broker that also notes what the broker says of itself. */
export class InspectingClient extends Client {
  /** Absent until the broker has answered. */
  properties: BrokerProperties | undefined;

  /** Rejects when the connection is lost: a request that waits for an answer may stay pending. */
  readonly lost: Promise<never>;

  constructor(uri: AmqpUri, endpoint: Endpoint, tls: TlsOptions = {}) {
    super(uri, endpoint, tls);
    this.lost = new Promise((_, reject) => {
      this.ondisconnect = (error) => reject(error ?? new Error("the broker closed the connection"));
      this.onDead = () => reject(new Error("the connection is closed"));
    });
    this.lost.catch(() => {}); // whoever waits for an answer gets it
    this.isCounted = true; // a refusal ends an AMQP channel, and there are many of them
  }

  protected override parseFrames(view: View): void {
    // Connection.Start (AMQP 0-9-1, section 1.4.2.1), after the header of the frame, the method and the two versions.
    if (view.getUint8(0) === 1 && view.getUint32(7) === (10 << 16 | 10)) {
      try {
        this.properties = readStart(view, 13);
      } catch { /* the AMQP client does not read it either: nothing is known of the broker */ }
    }
    super.parseFrames(view);
  }
}

function readStart(view: View, at: number): BrokerProperties {
  const [table, size] = view.getTable(at);
  const [mechanisms] = view.getLongString(at + size);
  const text = (name: string) => {
    const value = table[name];
    return typeof value === "string" ? printable(value) : "";
  };
  return {
    product: text("product"),
    version: text("version"),
    platform: text("platform"),
    cluster: text("cluster_name"),
    mechanisms: printable(mechanisms),
  };
}

/** Returns a text of the broker without what a terminal would obey, and not too long. */
export function printable(text: string): string {
  const clean = text.replaceAll(/\p{C}/gu, "\ufffd");
  return clean.length > 200 ? `${clean.slice(0, 200)}…` : clean;
}

/**
 * Settles as `work` does, but rejects after `ms` milliseconds, when the signal is aborted, and when the connection is
 * lost.
 */
export async function inTime<T>(
  ms: number,
  signal: AbortSignal,
  { lost }: InspectingClient,
  work: Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const ends = AbortSignal.any([signal, over.signal]);
  try {
    return await Promise.race([
      work,
      lost,
      pause(ms, undefined, { signal: ends }).then(() => {
        throw new Error(`no answer within ${ms} ms`);
      }),
    ]);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    over.abort();
  }
}

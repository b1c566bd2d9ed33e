import type {
  Attributes,
  BatchObservableResult,
  Counter,
  Histogram,
  Meter,
  Observable,
} from "@opentelemetry/api";
import { diag } from "@opentelemetry/api";
import type { ChannelEnd } from "../channel/ends.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import { finalizer, type WeakReference, weakReference } from "../shared/collection.ts";
import type { Stats } from "../transports/transport.ts";
import { placeOf } from "./destination.ts";

/** The bounds of the histograms of durations, in seconds, that the conventions name. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** Milliseconds that a broker has to tell a depth. */
const depthTimeout = 5000;

/**
 * The metrics. What operations do is recorded as it happens; the counts of connections, and the depths of channels, are
 * read when a reader collects.
 */
export class Measures {
  readonly #operations: Histogram;
  readonly #processing: Histogram;
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #connections = new Connections();
  readonly #depths = new Map<ChannelEnd, () => Attributes>();
  readonly #end: () => void;

  constructor(meter: Meter) {
    const duration = { unit: "s", advice: { explicitBucketBoundaries: bounds } };
    this.#operations = meter.createHistogram("messaging.client.operation.duration", {
      ...duration,
      description: "Duration of a put, get, receive or request",
    });
    this.#processing = meter.createHistogram("messaging.process.duration", {
      ...duration,
      description: "Time from the receipt of a value until it is accepted or released",
    });
    this.#sent = meter.createCounter("messaging.client.sent.messages", {
      unit: "{message}",
      description: "Values that were put, successfully or not",
    });
    this.#consumed = meter.createCounter("messaging.client.consumed.messages", {
      unit: "{message}",
      description: "Values that were got or received",
    });
    this.#end = this.#observe(meter);
  }

  operation(seconds: number, attributes: Attributes): void {
    this.#operations.record(seconds, attributes);
  }

  processed(seconds: number, attributes: Attributes): void {
    this.#processing.record(seconds, attributes);
  }

  sent(attributes: Attributes): void {
    this.#sent.add(1, attributes);
  }

  consumed(attributes: Attributes): void {
    this.#consumed.add(1, attributes);
  }

  used(connection: SharedConnection): void {
    this.#connections.add(connection);
  }

  /** Has the depth of a channel read whenever a reader collects. */
  watch(channel: ChannelEnd, attributes: () => Attributes): void {
    this.#depths.set(channel, attributes);
  }

  unwatch(channel: ChannelEnd): void {
    this.#depths.delete(channel);
  }

  /** Ends the observation of connections and channels. */
  end(): void {
    this.#end();
    this.#depths.clear();
  }

  #observe(meter: Meter): () => void {
    const instruments = new Map<keyof Stats, Observable>(
      (Object.entries(counts) as [keyof Stats, Count][]).map(([key, { unit, is, description }]) => {
        const options = { unit, description };
        const name = `channelts.connection.${key}`;
        const observable = is === "count"
          ? meter.createObservableCounter(name, options)
          : meter.createObservableUpDownCounter(name, options);
        return [key, observable];
      }),
    );
    const depth = meter.createObservableGauge("channelts.channel.depth", {
      unit: "{message}",
      description: "Values that wait in a channel",
    });
    const read = async (result: BatchObservableResult) => {
      for (const { attributes, stats } of this.#connections.totals()) {
        for (const [key, observable] of instruments) {
          const count = stats[key];
          if (count !== undefined) result.observe(observable, count, attributes);
        }
      }
      await Promise.all([...this.#depths].map(async ([channel, attributes]) => {
        if (channel.closed) return void this.#depths.delete(channel);
        try {
          result.observe(depth, await channel.depth({ timeout: depthTimeout }), attributes());
        } catch (error) {
          diag.warn(`ChannelTS: the depth of ${channel.name} is not known: ${error}`);
        }
      }));
    };
    const observables = [...instruments.values(), depth];
    meter.addBatchObservableCallback(read, observables);
    return () => meter.removeBatchObservableCallback(read, observables);
  }
}

/** One of the counts of connections. */
interface Count {
  readonly is: "count" | "level";
  readonly unit: string;
  readonly description: string;
}

/** The counts of connections that are observed, as far as a transport has them. */
const counts: Readonly<Record<string, Count>> = {
  puts: { is: "count", unit: "{message}", description: "Messages that were put" },
  confirms: { is: "count", unit: "{message}", description: "Puts that were confirmed" },
  gets: {
    is: "count",
    unit: "{message}",
    description: "Messages that were got, or received and accepted",
  },
  redeliveries: {
    is: "count",
    unit: "{message}",
    description: "Messages that were delivered and may have been delivered before",
  },
  reconnects: {
    is: "count",
    unit: "{connection}",
    description: "Connections that were opened after one was lost",
  },
  outstanding: { is: "level", unit: "{message}", description: "Puts that are pending" },
  loans: { is: "level", unit: "{message}", description: "Messages on loan to this process" },
};

/** Numbers by the names of counts. */
type Totals = { [key: string]: number };

/** The connections that operations have used. A connection that is garbage collected stays in the totals. */
class Connections {
  readonly #places = new Map<string, Place>();
  readonly #known = new WeakSet<SharedConnection>();
  /** A collected connection leaves its counts to its place; the counts are an object of their own. */
  readonly #collected = finalizer<() => void>((leave) => leave());

  add(connection: SharedConnection): void {
    if (this.#known.has(connection)) return;
    this.#known.add(connection);
    const { address } = connection;
    let place = this.#places.get(address);
    if (place === undefined) this.#places.set(address, place = new Place(placeOf(address)));
    this.#collected?.register(connection, place.add(connection));
  }

  *totals(): Iterable<{ readonly attributes: Attributes; readonly stats: Totals }> {
    for (const { attributes, stats } of this.#places.values()) yield { attributes, stats };
  }
}

/** The connections to one address. */
class Place {
  readonly attributes: Attributes;
  readonly #current = new Map<WeakReference<SharedConnection>, Readonly<Stats> | undefined>();
  readonly #past: Totals = {};

  constructor(attributes: Attributes) {
    this.attributes = attributes;
  }

  /** Adds a connection. Returns a function that keeps its counts once it was collected. */
  add(connection: SharedConnection): () => void {
    const reference = weakReference(connection);
    this.#current.set(reference, undefined);
    return () => {
      const stats = this.#current.get(reference);
      this.#current.delete(reference);
      if (stats !== undefined) addTo(this.#past, stats, (key) => counts[key]?.is === "count");
    };
  }

  get stats(): Totals {
    const totals = { ...this.#past };
    for (const [reference, last] of this.#current) {
      const stats = reference.deref()?.stats ?? last;
      if (stats === undefined) continue;
      this.#current.set(reference, stats);
      addTo(totals, stats, () => true);
    }
    return totals;
  }
}

function addTo(totals: Totals, stats: Readonly<Stats>, isAdded: (key: string) => boolean): void {
  for (const [key, count] of Object.entries(stats)) {
    if (typeof count === "number" && isAdded(key)) totals[key] = (totals[key] ?? 0) + count;
  }
}

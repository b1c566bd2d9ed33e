import { Channel, type Delivery, select, trySelect } from "../../mod.ts";
import { until } from "../conformance/fixture.ts";

/** What an actor does, as JSON: the actor may be another process. */
export type Request =
  | {
    readonly op: "open";
    readonly connection: string;
    readonly name: string;
    readonly capacity?: number;
  }
  | { readonly op: "put" | "tryPut" | "select" | "trySelect"; readonly values: readonly number[] }
  | { readonly op: "abort"; readonly values: readonly number[]; readonly after: number }
  | { readonly op: "accept" | "release"; readonly loan: number }
  | { readonly op: "get" | "receive" | "close" | "closeAll" | "awaitClosed" };

/** The result of a request. */
export interface Reply {
  /** The value that was got. */
  readonly value?: number;
  readonly redelivered?: boolean;
  /** Identifies the delivery for `accept` and `release`. */
  readonly loan?: number;
  /** How many of the values were put. */
  readonly sent?: number;
  /** An error that the test does not expect. */
  readonly error?: string;
}

/** Executes requests one at a time on a handle of its own. */
export class Actor {
  #channel!: Channel<number>;
  readonly #loans = new Map<number, Delivery<number>>();
  #last = 0;

  async do(request: Request): Promise<Reply> {
    try {
      return await this.#do(request);
    } catch (error) {
      return { error: error instanceof Error ? error.stack ?? error.message : String(error) };
    }
  }

  async #do(request: Request): Promise<Reply> {
    switch (request.op) {
      case "open": {
        const { op: _, ...options } = request;
        this.#loans.clear();
        this.#channel = new Channel<number>({ ...options, expires: 60_000 });
        await this.#channel.depth();
        return {};
      }
      case "put":
        await Promise.all(request.values.map((value) => this.#channel.put(value)));
        return {};
      case "tryPut": {
        const outcomes = await Promise.all(
          request.values.map((value) => this.#channel.tryPut(value)),
        );
        return { sent: outcomes.filter((outcome) => outcome === "ok").length };
      }
      case "select":
      case "trySelect": {
        const cases = { in: this.#channel, out: this.#channel.putCase(request.values[0]!) };
        const chosen = await (request.op === "select" ? select(cases) : trySelect(cases));
        if (chosen === undefined) return {};
        return chosen.key === "out" ? { sent: 1 } : { value: chosen.value! };
      }
      case "get":
        return await or("ChannelTimeoutError", this.#channel.get({ timeout: 0 }));
      case "abort": {
        const stop = new AbortController();
        const reason = new DOMException("enough", "AbortError");
        const got = or("AbortError", this.#channel.get({ signal: stop.signal }));
        const puts = request.values.map((value) => this.#channel.put(value));
        setTimeout(() => stop.abort(reason), request.after);
        await Promise.all(puts);
        return await got;
      }
      case "receive": {
        const { delivery } = await this.#channel.receive({ timeout: 0 }).then(
          (delivery) => ({ delivery }),
          (error) => {
            if (error.name === "ChannelTimeoutError") return { delivery: undefined };
            throw error;
          },
        );
        if (delivery === undefined) return {};
        const loan = ++this.#last;
        this.#loans.set(loan, delivery);
        return { value: delivery.value, redelivered: delivery.redelivered, loan };
      }
      case "accept":
      case "release":
        this.#loans.get(request.loan)![request.op]();
        this.#loans.delete(request.loan);
        return {};
      case "close":
        await this.#channel.close();
        return {};
      case "closeAll":
        await this.#channel.closeAll();
        return {};
      case "awaitClosed":
        // Not by a get, which may receive a value before it learns of the close.
        await until(() => this.#channel.closed);
        return {};
    }
  }
}

/** The value that was got, or nothing if the get rejects with the expected error. */
function or(name: string, got: Promise<number>): Promise<Reply> {
  return got.then((value) => ({ value }), (error) => {
    if (error.name === name) return {};
    throw error;
  });
}

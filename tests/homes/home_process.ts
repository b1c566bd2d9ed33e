import { type Child, startChild } from "../support/child.ts";
import { freePorts } from "../support/net.ts";
import type { Runtime } from "../support/runtimes.ts";
import type { Census, Orders, Question } from "./control.ts";

/** A home that a test controls, in another process or thread. */
export interface TestedHome extends AsyncDisposable {
  /** Its addresses, with keys. */
  readonly addresses: readonly string[];
  ask(question: Question): Promise<unknown>;
}

/** Returns what the home has of its peers. */
export async function censusOf(home: TestedHome): Promise<Census> {
  return await home.ask({ ask: "census" }) as Census;
}

/** The options of {@linkcode startHome}. */
export interface HomeProcessOptions extends Omit<Orders, "addresses" | "engine"> {
  /** Where it listens; `PORT` is a free port, the same after each start. Default: one `zmq:` address. */
  readonly addresses?: readonly string[];
  /** Default: `memory:`. */
  readonly engine?: string;
  readonly runtime?: Runtime;
}

/** Starts a home in a process of its own. */
export async function startHome(options: HomeProcessOptions = {}): Promise<HomeProcess> {
  const { runtime, engine = "memory:", ...orders } = options;
  const wanted = options.addresses ?? ["zmq://127.0.0.1:PORT"];
  const ports = await freePorts(wanted.length);
  const addresses = wanted.map((address, i) => address.replace("PORT", String(ports[i])));
  const home = new HomeProcess({ ...orders, engine, addresses }, ports, runtime);
  await home.start();
  return home;
}

/** A home in a process of its own, which can be stopped and started. */
export class HomeProcess implements TestedHome {
  readonly ports: readonly number[];
  readonly #orders: Orders;
  readonly #runtime: Runtime | undefined;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #child: Child | undefined;
  #addresses: readonly string[] = [];
  #next = 0;

  constructor(orders: Orders, ports: readonly number[], runtime: Runtime | undefined) {
    this.#orders = orders;
    this.ports = ports;
    this.#runtime = runtime;
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** The process; a home that is started again has another one. */
  get child(): Child {
    return this.#child!;
  }

  /** Starts the home. Resolves when it listens. */
  async start(): Promise<void> {
    const child = this.#child = startChild(new URL("../programs/home.ts", import.meta.url), {
      args: [JSON.stringify(this.#orders)],
      ...this.#runtime === undefined ? {} : { runtime: this.#runtime },
    });
    ({ addresses: this.#addresses } = await child.next(40_000) as Orders);
    this.#read(child);
  }

  /** Ends the home in order, and waits for it. */
  async stop(): Promise<void> {
    this.child.kill("SIGTERM");
    await this.child.exited;
  }

  /** Ends the home and starts it again. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Kills the home, and waits for its end. */
  async crash(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
  }

  suspend(): void {
    this.child.kill("SIGSTOP");
  }

  resume(): void {
    this.child.kill("SIGCONT");
  }

  async ask(question: Question): Promise<unknown> {
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    this.child.send([id, question]);
    return await answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }

  async #read(child: Child): Promise<void> {
    for await (const message of child.lines) {
      const [id, answer, error] = message as [number, unknown, string | undefined];
      if (error) this.#pending.get(id)?.reject(new Error(`the home: ${error}`));
      else this.#pending.get(id)?.resolve(answer);
      this.#pending.delete(id);
    }
    const error = new Error(`the home has ended: ${child.stderr.slice(-4000)}`);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

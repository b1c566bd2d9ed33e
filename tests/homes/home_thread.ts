import { Worker as NodeWorker } from "node:worker_threads";
import type { Orders, Question } from "./control.ts";
import type { TestedHome } from "./home_process.ts";

/** Starts a home in a Worker: a Web Worker on Deno and Bun, a `node:worker_threads` Worker on Node. */
export async function startHomeThread(orders: Orders): Promise<HomeThread> {
  const home = new HomeThread();
  await home.start(orders);
  return home;
}

/** A home in a Worker. */
export class HomeThread implements TestedHome {
  readonly #worker: Worker | NodeWorker;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #addresses: readonly string[] = [];
  #next = 0;

  constructor() {
    const program = new URL("../programs/home_thread.ts", import.meta.url);
    if (globalThis.Worker) {
      this.#worker = new Worker(program, { type: "module" });
      this.#worker.onmessage = ({ data }) => this.#receive(data);
      this.#worker.onerror = (event) => this.#fail(event.message);
    } else {
      this.#worker = new NodeWorker(program);
      this.#worker.on("message", (data) => this.#receive(data));
      this.#worker.on("error", (error) => this.#fail(String(error)));
    }
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  async start(orders: Orders): Promise<void> {
    this.#addresses = await this.#send(orders) as string[];
  }

  ask(question: Question): Promise<unknown> {
    return this.#send(question);
  }

  /** Makes a port whose other end the home has accepted. */
  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#send({}, port2).catch(() => {}); // the peer notices
    return port1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #send(what: object, port?: MessagePort): Promise<unknown> {
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    const message = port === undefined ? [id, what] : [id, what, port];
    // deno-lint-ignore no-explicit-any -- the ports of the two kinds of Workers have one name and two types
    this.#worker.postMessage(message, (port === undefined ? [] : [port]) as any);
    return answer.promise;
  }

  #receive([id, answer, error]: [number, unknown, string | undefined]): void {
    if (error) this.#pending.get(id)?.reject(new Error(`the home: ${error}`));
    else this.#pending.get(id)?.resolve(answer);
    this.#pending.delete(id);
  }

  #fail(error: string): void {
    for (const { reject } of this.#pending.values()) reject(new Error(`the home failed: ${error}`));
    this.#pending.clear();
  }
}

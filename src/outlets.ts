import { ChannelClosedError, ChannelReferenceError } from "./errors.ts";
import { readNotice, type Request, writeNotice } from "./exchange.ts";
import { Handle } from "./handle.ts";
import { unref } from "./timers.ts";

/** A request that is being handled. */
export interface Job {
  readonly outlet: Outlet;
  /** Aborted when nobody waits for the reply any more. */
  readonly signal: AbortSignal;
  /** Nobody is to tell it anything any more. */
  end(): void;
}

/** Where the replies to one requester go: a handle on its reply channel. */
class Outlet {
  readonly #handle: Handle;
  readonly #jobs = new Map<AbortController, number | undefined>();
  readonly #attached: Promise<void>;
  lastUsed = 0;

  constructor(handle: Handle) {
    this.#handle = handle;
    handle.onClosed.add(() => this.#cancel(() => true));
    handle.listeners.add({
      hear: (event) => {
        const { cancel, gone } = readNotice(event);
        if (gone) return void handle.close();
        if (cancel !== undefined) this.#cancel((id) => id === cancel);
      },
    });
    this.#attached = handle.attach(this);
    this.#attached.catch((error) => {
      if (error instanceof ChannelClosedError) return handle.close(); // whoever asked has gone
    });
  }

  get closed(): boolean {
    return this.#handle.closed;
  }

  get isIdle(): boolean {
    return this.#jobs.size === 0;
  }

  begin(id: number | undefined, ended: () => void): Job {
    const controller = new AbortController();
    this.#jobs.set(controller, id);
    const asking = setTimeout(() => void this.#ask(id).catch(() => {}), patience);
    return {
      outlet: this,
      signal: controller.signal,
      end: () => {
        clearTimeout(asking);
        this.#jobs.delete(controller);
        this.lastUsed = performance.now();
        ended();
      },
    };
  }

  /** Puts the first of these replies that can travel. */
  async put([reply, ...others]: readonly unknown[]): Promise<void> {
    try {
      await this.#handle.put(this, reply, {});
    } catch (error) {
      const isUnfit = error instanceof DOMException || error instanceof ChannelReferenceError;
      if (!isUnfit || others.length === 0) throw error;
      await this.put(others);
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** That a reply is not waited for may have been announced before this was attached. */
  async #ask(id: number | undefined): Promise<void> {
    await this.#attached;
    if (id !== undefined) await this.#handle.announce(this, writeNotice({ begun: id }));
    try {
      await this.#handle.depth(this, {});
    } catch (error) {
      if (error instanceof ChannelClosedError) await this.#handle.close();
    }
  }

  #cancel(isMeant: (id: number | undefined) => boolean): void {
    for (const [controller, id] of this.#jobs) {
      if (isMeant(id)) controller.abort(new DOMException(cancelled, "AbortError"));
    }
  }
}

export type { Outlet };

const cancelled = "nobody waits for the reply any more";

/** Milliseconds after which a handler is long at work, and worth the question whether it is for nothing. */
const patience = 20;

/**
 * Where replies go. A requester's reply channel stays attached between its requests, for attaching
 * costs more than a request; not for long, because that keeps alive what a dead requester has left.
 */
export class Outlets {
  readonly #stacks: boolean;
  readonly #outlets = new Map<string, Outlet>();
  #sweeping: ReturnType<typeof setInterval> | undefined;

  /** @param stacks whether errors are sent with their stack */
  constructor(stacks: boolean) {
    this.#stacks = stacks;
  }

  begin({ id, replyTo }: Request): Job {
    const { name, title, encoding } = replyTo;
    const key = `${encoding} ${title}`;
    let outlet = this.#outlets.get(key);
    if (outlet === undefined || outlet.closed) {
      this.#outlets.delete(key);
      if (this.#outlets.size >= most) this.#sweep(0);
      outlet = new Outlet(new Handle({ ...replyTo.options, name, stacks: this.#stacks }));
      this.#outlets.set(key, outlet);
    }
    this.#sweeping ??= startSweeping(() => this.#sweep(restAfter));
    // A channel for one reply is needed no more.
    return outlet.begin(id, () => id === undefined && this.#drop(key, outlet));
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await Promise.all([...this.#outlets.values()].map((outlet) => outlet.close()));
  }

  #drop(key: string, outlet: Outlet): void {
    if (!outlet.isIdle) return;
    if (this.#outlets.get(key) === outlet) this.#outlets.delete(key);
    outlet.close();
  }

  /** @param rest milliseconds without use after which an outlet goes */
  #sweep(rest: number): void {
    const last = performance.now() - rest;
    for (const [key, outlet] of this.#outlets) {
      if (outlet.closed || outlet.lastUsed <= last) this.#drop(key, outlet);
    }
  }
}

function startSweeping(sweep: () => void): ReturnType<typeof setInterval> {
  const timer = setInterval(sweep, restAfter);
  unref(timer);
  return timer;
}

const restAfter = 30_000;

/** How many stay attached while they are idle. */
const most = 256;

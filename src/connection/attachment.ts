import type { CloseReason } from "../shared/errors.ts";
import type { Link, LinkObserver } from "../transports/transport.ts";
import { closeTimeout, within } from "../shared/timeouts.ts";

/** What an attachment tells each of its handles. */
export interface Attached {
  /**
   * Once: the channel is closed for everyone. Resolves when what the handle has sent is settled; bounded
   * in time, and never rejects.
   */
  terminate(reason: CloseReason): Promise<void>;
  /** An event was announced that closes nothing. */
  announced(event: Uint8Array): void;
  /** So many events did not arrive. */
  missed(count: number): void;
}

/**
 * A process's attachment to one channel: the one link that all its handles on it share.
 *
 * Invariants: it is open while it has handles, or is about to have its first. From the moment
 * `closing` is set it takes no handle and tells none anything; whoever wants the channel again waits
 * for `closing` and attaches anew.
 */
export class Attachment implements LinkObserver {
  /** The link; there when it is open. */
  link!: Link;
  /** Resolves when the link is open. */
  readonly opened: Promise<void>;
  /** Resolves when the link is closed; undefined until it is being closed. Never rejects. */
  closing: Promise<void> | undefined;
  readonly #handles = new Set<Attached>();
  /** How many handles wait for the link to open. */
  #awaited = 0;
  readonly #onClosed: () => void;

  readonly #unwanted = new AbortController();

  /**
   * @param open opens the link; told when nobody wants it any more
   * @param onClosed called once, when the link is closed or could not be opened
   */
  constructor(
    open: (observer: LinkObserver, signal: AbortSignal) => Promise<Link>,
    onClosed: () => void,
  ) {
    this.#onClosed = onClosed;
    this.opened = open(this, this.#unwanted.signal).then((link) => {
      this.link = link;
    }, (error) => {
      if (this.closing === undefined) {
        this.closing = Promise.resolve();
        onClosed();
      }
      throw error;
    });
  }

  get isShared(): boolean {
    return this.#handles.size > 0;
  }

  /** Resolves when the link is open; rejects where that fails, or `signal` is aborted. */
  async awaited(signal: AbortSignal): Promise<void> {
    this.#awaited++;
    try {
      await unlessAborted(this.opened, signal);
    } finally {
      this.#awaited--;
      // Nobody wants it any more: a broker that cannot be reached is not tried for nothing.
      if (signal.aborted && this.#awaited === 0 && !this.isShared) {
        this.#unwanted.abort(signal.reason);
        this.#close();
      }
    }
  }

  add(handle: Attached): void {
    this.#handles.add(handle);
  }

  /** Takes a handle off; the last one closes the link. Resolves when that is done. */
  remove(handle: Attached): Promise<void> {
    if (this.#handles.delete(handle) && this.#handles.size === 0) this.#close();
    return this.#handles.size === 0 ? this.closing! : Promise.resolve();
  }

  /** @param by a handle that is not told, having announced it */
  announced(event: Uint8Array, by?: Attached): void {
    if (isCloseAll(event)) return this.terminate("closeAll");
    for (const handle of [...this.#handles]) if (handle !== by) handle.announced(event);
  }

  missed(count: number): void {
    for (const handle of [...this.#handles]) handle.missed(count);
  }

  gone(): void {
    this.terminate("delete");
  }

  /** Closes every handle, and the link with the last. */
  terminate(reason: CloseReason): void {
    const handles = [...this.#handles];
    this.#handles.clear();
    this.#close(Promise.all(handles.map((handle) => handle.terminate(reason))));
  }

  /** @param settled when the handles need the link no more */
  async #closeAfter(settled: Promise<unknown>): Promise<void> {
    const opened = this.opened.catch(() => {});
    await within(closeTimeout, opened);
    await settled;
    if (this.link !== undefined) await within(closeTimeout, this.link.close());
    else opened.then(() => this.link?.close()); // too late for anyone to wait
  }

  #close(settled: Promise<unknown> = Promise.resolve()): void {
    this.closing ??= this.#closeAfter(settled).then(this.#onClosed);
  }
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let stop: () => void;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop!);
  }
}

/** The event of `closeAll`, in JSON as ChannelPy announces it. */
export const closeAllEvent: Uint8Array = new TextEncoder().encode(`"close"`);

function isCloseAll(event: Uint8Array): boolean {
  return event.length === closeAllEvent.length &&
    event.every((byte, i) => byte === closeAllEvent[i]);
}

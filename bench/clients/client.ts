/**
 * A client that uses a queue with the guarantees of a channel: a durable queue, persistent messages with a content type
 * and an id, published as mandatory, each put confirmed and each message acknowledged; and TCP_NODELAY, without which
 * each response takes 40 ms. It has a connection of its own.
 */
export interface Client {
  readonly label: string;
  /** Declares the queue. */
  declare(queue: string): Promise<unknown>;
  /** Resolves when the broker has confirmed the message. */
  put(queue: string, body: Uint8Array): Promise<unknown>;
  /**
   * Passes messages to `take` and accepts each.
   *
   * @param window how many may be in flight; ChannelTS decides this itself
   * @returns a function that stops it
   */
  consume(
    queue: string,
    window: number,
    take: (body: Uint8Array) => void,
  ): Promise<() => Promise<unknown>>;
  close(): Promise<unknown>;
}

/** The properties of each message. */
export function properties(): { contentType: string; messageId: string } {
  return { contentType: "application/cbor", messageId: `${unique}${(count++).toString(36)}` };
}

const unique = `${crypto.randomUUID().slice(0, 13)}-`;
let count = 0;

/** Returns a function that makes each value once, for example an AMQP channel for each window. */
export function kept<K, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) made.set(key, value = make(key));
    return value;
  };
}

/** Consumes a number of messages. */
export async function consumeSome(
  client: Client,
  queue: string,
  window: number,
  count: number,
): Promise<void> {
  let got = 0;
  let done: () => void;
  const all = new Promise<void>((resolve) => done = resolve);
  const stop = await client.consume(queue, window, () => {
    if (++got === count) done();
  });
  await all;
  await stop();
}

/** Puts a number of messages in batches. A batch starts when the previous one is confirmed. */
export async function putMany(
  count: number,
  put: (i: number) => Promise<unknown>,
  batch = 500,
): Promise<void> {
  for (let done = 0; done < count; done += batch) {
    const length = Math.min(batch, count - done);
    await Promise.all(Array.from({ length }, (_, i) => put(done + i)));
  }
}

/** Adds the default credentials to a URI without credentials, because not every client does. */
export function withCredentials(uri: string): string {
  const url = new URL(uri);
  url.username ||= "guest";
  url.password ||= "guest";
  return url.href;
}

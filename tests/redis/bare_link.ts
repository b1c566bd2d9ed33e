import { keyOf } from "../../src/transports/redis/channel_key.ts";
import type { ScriptName } from "../../src/transports/redis/scripts/mod.ts";
import { RedisSession } from "../../src/transports/redis/connection/session.ts";
import { parseRedisUri } from "../../src/transports/redis/uri.ts";
import { ProcessRef } from "../../src/transports/remote/process_ref.ts";

/** What {@linkcode BareLink.put} may say besides the bodies. */
export interface BarePut {
  /** The number of the first message; the others follow. */
  readonly number: number;
  readonly isAgain?: boolean;
  /** The number of the last message that was sent before and is not confirmed. */
  readonly previous?: number;
}

/** A link that runs the scripts one by one, as the test says. Its channel has the epoch `epoch`. */
export class BareLink implements AsyncDisposable {
  readonly session: RedisSession;
  readonly holder: string;
  /** What the keys of the channel begin with. */
  readonly key: string;
  /** The number of the last announcement of the former links, as `attach` has found it. */
  lastAnnounced = 0;
  #claims = 0;

  private constructor(session: RedisSession, name: string) {
    this.session = session;
    this.key = keyOf(name);
    this.holder = session.addLink({ notified() {} });
  }

  static async connect(uri: string, name: string): Promise<BareLink> {
    const parsed = parseRedisUri(uri);
    const processRef = new ProcessRef();
    processRef.ref(); // until the session is closed
    const options = { uri: parsed, tls: {}, processRef, warn() {} };
    const { signal } = new AbortController();
    const session = await RedisSession.connect(options, parsed.endpoints[0]!, 20_000, signal);
    return new BareLink(session, name);
  }

  // deno-lint-ignore no-explicit-any -- each script has its own reply
  run(script: ScriptName, ...args: string[]): Promise<any> {
    return this.session.run(script, this.key, [this.holder, "epoch", ...args]);
  }

  /**
   * Attaches, and resolves with the loans that the link still has.
   *
   * @param loans those that it had, and the ids of their messages
   * @param lease of a channel that is made, in milliseconds
   * @param capacity of a channel that is made
   */
  async attach(
    former: readonly BareLink[] = [],
    loans: readonly (readonly [loan: string, id: string])[] = [],
    lease = "",
    capacity = "",
  ): Promise<string[]> {
    const formers = former.map(({ holder }) => holder).join(" ");
    const reply = await this.session.run("attach", this.key, [
      this.holder,
      former.length === 0 ? "" : "epoch",
      "1",
      "epoch",
      lease,
      capacity,
      formers,
      "0",
      "0",
      String(loans.length),
      ...loans.flat(),
    ]);
    this.lastAnnounced = reply[10];
    return loans.filter((_, i) => reply[7][i] === 1).map(([loan]) => loan);
  }

  /** Puts messages with these ids, and resolves with the outcomes. */
  put(
    ids: readonly string[],
    { number, isAgain = false, previous = 0 }: BarePut,
  ): Promise<number[]> {
    const messages = ids.flatMap((id, i) => [
      String(number + i),
      "1",
      "0",
      "",
      "",
      `["","${id}"]\n`,
    ]);
    return this.run("put", isAgain ? "1" : "0", "0", String(previous), ...messages);
  }

  /** Takes a message that waits, and resolves with its loan as the server knows it; undefined if there is none. */
  async take(isCounted = false): Promise<string | undefined> {
    const claim = String(++this.#claims);
    const mark = isCounted ? "+" : "-";
    const [, , , seq] = await this.run("take", "0", "1", claim, mark, "");
    return seq === undefined ? undefined : `${seq} ${mark}${claim}`;
  }

  depth(): Promise<number> {
    return this.run("depth");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session.close();
  }
}

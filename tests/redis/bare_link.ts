import { keyOf } from "../../src/transports/redis/channel_key.ts";
import type { ScriptName } from "../../src/transports/redis/scripts/mod.ts";
import { RedisSession } from "../../src/transports/redis/session.ts";
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

/** A link that runs the scripts one by one, as the test says. Its channel has the epoch `epoch`, and it puts as `putter`. */
export class BareLink implements AsyncDisposable {
  readonly session: RedisSession;
  readonly holder: string;
  /** What the keys of the channel begin with. */
  readonly key: string;

  private constructor(session: RedisSession, name: string) {
    this.session = session;
    this.key = keyOf(name);
    this.holder = session.addLink({ bell() {} });
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
   * Attaches, and resolves with the numbers of the messages that the link still holds.
   *
   * @param messages those that it held: number and id
   * @param lease of a channel that is made, in milliseconds
   */
  async attach(
    former: readonly BareLink[] = [],
    messages: readonly (readonly [seq: string, id: string])[] = [],
    lease = "",
  ): Promise<string[]> {
    const formers = former.map(({ holder }) => holder).join(" ");
    const reply = await this.session.run("attach", this.key, [
      this.holder,
      former.length === 0 ? "" : "epoch",
      "1",
      "epoch",
      lease,
      "",
      formers,
      ...messages.flat(),
    ]);
    return messages.filter((_, i) => reply.at(-1)[i] === 1).map(([seq]) => seq);
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
    return this.run("put", "putter", isAgain ? "1" : "0", "0", String(previous), ...messages);
  }

  /** Takes a message that waits, and resolves with its number; undefined if there is none. */
  async take(): Promise<string | undefined> {
    const [, , , seq] = await this.run("take", "0", "1", "1", "-", "");
    return seq === undefined ? undefined : String(seq);
  }

  depth(): Promise<number> {
    return this.run("depth");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session.close();
  }
}

import { Asker } from "./asker.ts";
import { Granter } from "./granter.ts";
import type { Gate, Outbox } from "./outbox.ts";
import type { Session } from "./session.ts";
import type { Meeting, Source } from "./source.ts";
import { tell } from "./topology.ts";
import { decodeWord, type Grant, isSpeaker, type Word } from "./words.ts";

/** What a rendezvous works with. */
export interface RendezvousOptions {
  readonly session: Session;
  /** The channel's name. */
  readonly name: string;
  readonly outbox: Outbox;
  /** What gets the channel's messages, while the link is attached. */
  source(): Source | undefined;
  /** The channel may be gone. */
  doubt(): void;
  /** Nobody can be asked. */
  failed(error: unknown): void;
}

/**
 * Brings those who put and those who get together, on one connection's attachment to an unbuffered channel: a
 * message is sent only where somebody has granted it who waits for one.
 *
 * Invariant: what is said arrives in the order in which it was said, and what is said here at once.
 */
export class Rendezvous implements Meeting {
  readonly #options: RendezvousOptions;
  /** This process's name, to all others. */
  readonly #own: string;
  readonly #asker: Asker;
  readonly #granter: Granter;
  /** What is to be said when what was said before has arrived; to all where `to` is missing. */
  #words: { readonly to?: string; readonly word: Word }[] = [];
  #isSpeaking = false;

  constructor(options: RendezvousOptions) {
    this.#options = options;
    this.#own = options.session.bulletin.queue;
    const say = (to: string, word: Word) => this.#say(to, word);
    const sayToAll = (word: Word) => this.#speak({ word });
    this.#granter = new Granter({
      own: this.#own,
      claims: () => options.source()?.claimCount ?? 0,
      dryClaims: () => options.source()?.dryClaims ?? 0,
      say,
      sayToAll,
    });
    this.#asker = new Asker({
      outbox: options.outbox,
      sayHere: (word) => this.#hear(this.#own, word),
      say,
      sayToAll,
      doubt: options.doubt,
    });
  }

  /** By which the outbox is held back. */
  get gate(): Gate {
    return this.#asker;
  }

  hear(body: Uint8Array, from: string): void {
    const word = decodeWord(body);
    if (word !== undefined && isSpeaker(from)) this.#hear(from, word);
  }

  taken(grant: Grant): void {
    this.#granter.takenHere(grant);
  }

  withdrawn(): void {
    this.#granter.withdrawn();
  }

  waiting(): void {
    this.#granter.grant();
  }

  /** Whether this process has granted something, and nothing has come yet. */
  get hasGranted(): boolean {
    return this.#granter.hasGranted;
  }

  /** Whether somebody has a value, as far as can be known soon. */
  isAsked(): Promise<boolean> {
    return this.#granter.isAsked();
  }

  /** The connection is lost, or the link is attached no more, or the channel closed. */
  close(): void {
    this.#granter.close();
    this.#asker.close();
  }

  #hear(from: string, { kind, number }: Word): void {
    if (kind === "ask") this.#granter.ask(from, number);
    else if (kind === "no") this.#granter.refused(from, number);
    else if (kind === "taken") this.#granter.taken(number);
    else if (kind === "grant") this.#asker.granted({ granter: from, number });
    else if (kind === "revoke") this.#asker.revoked({ granter: from, number });
    else this.#asker.greeted(from);
  }

  #say(to: string, word: Word): void {
    if (to === this.#own) this.#hear(this.#own, word);
    else this.#speak({ to, word });
  }

  #speak(what: { readonly to?: string; readonly word: Word }): void {
    this.#words.push(what);
    if (this.#isSpeaking) return;
    this.#isSpeaking = true;
    queueMicrotask(() => this.#speakAll());
  }

  async #speakAll(): Promise<void> {
    const { session, name, doubt, failed } = this.#options;
    while (this.#words.length > 0 && !session.isLost) {
      const words = this.#words;
      this.#words = [];
      try {
        if (!await tell(session, name, words)) doubt();
      } catch (error) {
        if (!session.isLost) failed(error);
      }
    }
    this.#isSpeaking = false;
  }
}

import { backOff } from "../../shared/backoff.ts";
import type { ChannelError } from "../../shared/errors.ts";
import type { RemoteSession } from "./remote_session.ts";
import { RuntimeTimer } from "./runtime_timer.ts";
import type { SessionSource, SessionWaiter } from "./session_source.ts";

/** The link that a cycle attaches, with what an attachment finds. */
export interface AttachOwner<S, Found> {
  /** Attaches on a connection. */
  attach(session: S): Promise<Found>;
  /** The link is attached. Called also after the end of the cycle, to undo what the attachment has done. */
  attached(session: S, found: Found): void;
  /** An attempt has failed; the next one is `pause` ms away. */
  postponed(pause: number): void;
  /** Attaching is impossible. */
  failed(error: ChannelError): void;
  /** Reports whether an attempt that was refused so is worth repeating. */
  mayPass(refusal: unknown): boolean;
  /** Returns the error for a refusal. */
  explain(error: unknown): ChannelError;
}

type State =
  /** No operation needs an attachment, or the last attempt was refused. */
  | "idle"
  /** Waits for a connection. */
  | "connecting"
  | "attaching"
  /** The broker or home cannot attach the link at the moment, and is asked again after a pause. */
  | "pausing"
  | "attached"
  /** The link is closed. */
  | "ended";

/**
 * Attaches a link, and again after each loss of its connection.
 *
 * ```
 * idle ──start──▶ connecting ──connected──▶ attaching ──────────▶ attached ──lost──▶ connecting
 *                     ▲  ▲                    │  │ │
 *                     │  └─connection lost────┘  │ └─refused──▶ idle
 *                     └────pausing◀──unavailable─┘
 * ```
 *
 * A link may count as attached before the other side has answered; `refused` is then as a refusal while it attaches.
 */
export class AttachCycle<S extends RemoteSession, Found> implements SessionWaiter<S> {
  readonly #connector: SessionSource<S>;
  readonly #owner: AttachOwner<S, Found>;
  #state: State = "idle";
  #loss: ChannelError | undefined;
  #refusal: unknown;
  /** How many attempts in a row have found the other side unable to attach the link. */
  #attempts = 0;
  #pause: RuntimeTimer | undefined;
  #attaching: Promise<void> | undefined;

  constructor(connector: SessionSource<S>, owner: AttachOwner<S, Found>) {
    this.#connector = connector;
    this.#owner = owner;
  }

  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** The reason for the last loss; undefined once the link has attached again. */
  get loss(): ChannelError | undefined {
    return this.#loss;
  }

  /** The refusal of the last attempt, if the next may succeed. */
  get refusal(): unknown {
    return this.#refusal;
  }

  /** Attaches the link unless that is under way. An attempt to connect that has been postponed is made now. */
  start(): void {
    if (this.#state === "idle") this.#connect(); // links that are idle may have postponed the attempt
    if (this.#state === "connecting") this.#connector.retryNow();
  }

  /** The link has lost its connection. */
  lost(session: S): void {
    this.#loss = session.lossError;
    if (this.#state === "attached") this.#connect();
  }

  /** The other side has refused the attachment after all. */
  refused(session: S, error: unknown): void {
    if (this.#state === "attached") this.#onRefused(session, error);
  }

  /** Attaches no more. */
  end(): void {
    this.#state = "ended";
    this.#pause?.stop();
    this.#connector.cancel(this);
  }

  /** Resolves when no attachment is under way. */
  async settled(): Promise<void> {
    await this.#attaching;
  }

  connected(session: S): void {
    if (this.#state === "ended") return;
    this.#state = "attaching";
    this.#attaching = this.#attach(session);
  }

  failed(error: ChannelError, pause: number): void {
    if (this.#state === "ended") return;
    if (pause < Infinity) return this.#owner.postponed(pause);
    this.#state = "idle";
    this.#owner.failed(error);
  }

  #connect(): void {
    this.#state = "connecting";
    this.#connector.connect(this);
  }

  async #attach(session: S): Promise<void> {
    let found;
    try {
      found = await this.#owner.attach(session);
      if (session.isLost) throw session.loss;
    } catch (error) {
      if (this.#state !== "ended") this.#onRefused(session, error);
      return;
    }
    if (this.#state !== "ended") this.#state = "attached";
    this.#owner.attached(session, found); // which may tell of the loss
    if (session.isLost) return;
    this.#attempts = 0;
    this.#loss = this.#refusal = undefined;
  }

  #onRefused(session: S, error: unknown): void {
    this.#refusal = undefined;
    if (session.isLost) {
      this.#loss = session.lossError;
      return this.#connect();
    }
    if (!this.#owner.mayPass(error)) {
      this.#state = "idle";
      return this.#owner.failed(this.#owner.explain(error));
    }
    this.#refusal = error;
    const pause = backOff(this.#attempts++, 50, 1000);
    this.#state = "pausing";
    this.#owner.postponed(pause);
    this.#pause = new RuntimeTimer(() => this.#connect(), pause);
    if (!this.#connector.processRef.isHeld) this.#pause.unref();
  }
}

import type { ChannelClosedError, ChannelError } from "../../shared/errors.ts";
import { goneError, outage, unknownOutcome } from "../remote/outage.ts";
import { refusedBy, tooLarge, underReplicated } from "./failure.ts";

/** What is known of the server when an operation fails. */
export interface RedisTrouble {
  readonly address: string;
  /** Why no connection is open; undefined if one is. */
  readonly trouble: Error | undefined;
  /** The refusal of the last attachment, if the next may succeed. */
  readonly refusal: unknown;
}

/** The errors of the operations of one link. */
export class RedisErrors {
  readonly #name: string;
  readonly #trouble: () => RedisTrouble;

  /** @param trouble returns what is known of the server now */
  constructor(name: string, trouble: () => RedisTrouble) {
    this.#name = name;
    this.#trouble = trouble;
  }

  /** Returns the error for what the server has refused. */
  refused(action: string, error: unknown): ChannelError {
    return refusedBy(this.#actionOf(action), this.#trouble().address, error);
  }

  /** Returns the error of an operation that has waited for an attachment for too long. */
  outage(action: string): ChannelError {
    const trouble = this.#trouble();
    if (trouble.refusal !== undefined) return this.refused(action, trouble.refusal);
    return outage(this.#actionOf(action), trouble);
  }

  /** Returns the error for a message or an event that the server would not deliver. */
  tooLarge(action: string, size: number, limit: number): ChannelError {
    return tooLarge(this.#actionOf(action), this.#trouble().address, size, limit);
  }

  /** Returns the error for a put that too few replicas have confirmed. */
  unreplicated(id: string | undefined): ChannelError {
    return unknownOutcome(underReplicated(this.#actionOf("put"), this.#trouble().address), id);
  }

  /** Returns the error for a channel that was deleted, or has never been. */
  gone(action: string, reason: "delete" | "missing"): ChannelClosedError {
    return goneError(action, this.#name, reason);
  }

  #actionOf(action: string): string {
    return `${action} on channel ${this.#name}`;
  }
}

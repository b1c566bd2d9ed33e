import type { Handle } from "../handle/handle.ts";
import type { Message } from "../transports/transport.ts";
import { type GetCase, type PutCase, SelectCase } from "./case.ts";

/** A get in a select, and the object that must not be garbage collected while the select waits. */
export interface ChosenGet<T> {
  readonly handle: Handle;
  readonly owner: object;
  readonly decode: (message: Message) => T;
}

/** A case of {@linkcode Channel.getCase}. */
export class ChannelGetCase<T> extends SelectCase implements GetCase<T> {
  readonly operation = "get";
  readonly #get: ChosenGet<T>;

  constructor(get: ChosenGet<T>) {
    super();
    this.#get = get;
  }

  get get(): ChosenGet<T> {
    return this.#get;
  }
}

/** A put in a select, with the owner as for a get. */
export interface ChosenPut {
  readonly handle: Handle;
  readonly owner: object;
  readonly value: unknown;
}

/** A case of {@linkcode Channel.putCase}. */
export class ChannelPutCase extends SelectCase implements PutCase {
  readonly operation = "put";
  readonly #put: ChosenPut;

  constructor(put: ChosenPut) {
    super();
    this.#put = put;
  }

  get put(): ChosenPut {
    return this.#put;
  }
}

import type { Decoder } from "./decode.ts";

/** The items of a generic object (tag 27), its type and arguments, to be read in their order. */
export class Arguments {
  readonly decoder: Decoder;
  /** How many are left; Infinity if a break ends them. */
  #left: number;
  readonly #number: number;
  #ended = false;

  constructor(decoder: Decoder, items: number, number: number) {
    this.decoder = decoder;
    this.#left = items;
    this.#number = number;
  }

  /** Whether there is one more, which is then to be read. */
  next(): boolean {
    if (this.#ended) return false;
    this.#ended = this.#left === Infinity ? this.decoder.takeBreak() : this.#left-- <= 0;
    return !this.#ended;
  }

  /** The decoder, at an item that must be there. */
  get required(): Decoder {
    return this.next() ? this.decoder : this.decoder.fail("an item of a generic object is missing");
  }

  /** All that are left. */
  rest(): unknown[] {
    const values: unknown[] = [];
    while (this.next()) values.push(this.decoder.value());
    return values;
  }

  /** Checks that none is left. */
  end(): void {
    if (this.next()) this.decoder.fail("a generic object with surplus items");
  }

  /** Tells that the object exists, before the arguments that may refer to it are read. */
  made(object: object): void {
    this.decoder.made(object, this.#number);
  }
}

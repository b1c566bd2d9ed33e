import { ItemScanner } from "./cbor_sequence.ts";
import { CliError } from "./cli_error.ts";
import { notationOf, type NotationOptions } from "./values.ts";

/** A part of a stream of bytes that is a value: a line, or an item of CBOR. */
export interface Part {
  readonly bytes: Uint8Array;
  /** The place of the part, for errors: `line 3`. */
  readonly where: string;
  /** Whether it is a line without a value, such as the last one of a file. */
  readonly isBlank: boolean;
}

/** Splits a stream of bytes into values. */
export class Splitter {
  readonly #notation: "json" | "raw" | "cbor";
  /** The byte that ends a value of text. */
  readonly #end: 0 | 10;
  readonly #scanner = new ItemScanner();
  #buffer = new Uint8Array(65_536);
  /** The bytes of the buffer that are not returned yet. */
  #from = 0;
  #to = 0;
  /** The bytes from `#from` that have no end of a line. */
  #searched = 0;
  #count = 0;
  readonly #limit: number;

  /** @param limit the bytes of the largest part */
  constructor(options: NotationOptions, limit: number = largestPart) {
    this.#limit = limit;
    this.#notation = notationOf(options);
    this.#end = options.null ? 0 : 10;
  }

  /** Yields the values that are complete after a chunk. @throws {CliError} if one is too large */
  *push(chunk: Uint8Array): Generator<Part, void> {
    this.#append(chunk);
    for (let part; (part = this.#next()) !== undefined;) yield part;
    if (this.#to - this.#from > this.#limit) {
      throw new CliError(
        `${this.#nextPlace()} has more than ${this.#limit} bytes; put large values in parts`,
      );
    }
  }

  /** Yields the value that the end of the stream completes. @throws {CliError} if it ends within an item */
  *end(): Generator<Part, void> {
    if (this.#from === this.#to) return;
    if (this.#notation === "cbor") throw new CliError("the input ends within an item");
    yield this.#take(this.#to - this.#from, 0);
  }

  #append(chunk: Uint8Array): void {
    const length = this.#to - this.#from;
    if (this.#to + chunk.length > this.#buffer.length) {
      // Parts that were returned share the buffer, so that it is not used again.
      const larger = new Uint8Array(Math.max(65_536, 2 * (length + chunk.length)));
      larger.set(this.#buffer.subarray(this.#from, this.#to));
      this.#buffer = larger;
      [this.#from, this.#to] = [0, length];
    }
    this.#buffer.set(chunk, this.#to);
    this.#to += chunk.length;
  }

  #next(): Part | undefined {
    const bytes = this.#buffer.subarray(this.#from, this.#to);
    if (bytes.length === 0) return undefined;
    if (this.#notation === "cbor") {
      const length = this.#scanner.next(bytes);
      return length === undefined ? undefined : this.#take(length, 0);
    }
    const at = bytes.indexOf(this.#end, this.#searched);
    if (at < 0) {
      this.#searched = bytes.length;
      return undefined;
    }
    return this.#take(at, 1);
  }

  /** @param skipped the bytes after the part that belong to no part */
  #take(length: number, skipped: number): Part {
    let bytes = this.#buffer.subarray(this.#from, this.#from + length);
    this.#from += length + skipped;
    this.#searched = 0;
    const isText = this.#notation !== "cbor";
    if (isText && this.#end === 10 && bytes.at(-1) === 13) bytes = bytes.subarray(0, -1); // CR LF
    const where = this.#nextPlace();
    this.#count++;
    return {
      bytes,
      where,
      isBlank: this.#notation === "json" && bytes.every((byte) => byte === 32 || byte === 9),
    };
  }

  /** The place of the part that comes next, for errors. */
  #nextPlace(): string {
    const word = this.#notation === "cbor" ? "item" : this.#end === 0 ? "value" : "line";
    return `${word} ${this.#count + 1}`;
  }
}

/** The bytes of the largest part: a line that does not end must not take all memory. */
const largestPart = 256 * 1024 * 1024;

import { CliError } from "./cli_error.ts";

/** The most that an item may be nested; the codec allows less. */
const maxDepth = 10_000;

/**
 * Finds the ends of the items of a CBOR sequence (RFC 8742) in bytes that arrive little by little. Only the heads of items
 * are read; the codec checks the rest.
 */
export class ItemScanner {
  /** The bytes that are read, and are skipped; they may be more than there are yet. */
  #at = 0;
  /** For each open item, how many items it still has; Infinity until a break. */
  #open: number[] = [1];

  /**
   * Returns the length of the item at the start of the bytes, or undefined if it is not complete. The bytes of the next
   * call then begin with those of this one.
   */
  next(bytes: Uint8Array): number | undefined {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    while (this.#open.length > 0) {
      if (this.#open.at(-1) === 0) {
        this.#open.pop();
        continue;
      }
      if (this.#at >= bytes.length) return undefined;
      const first = bytes[this.#at]!;
      if (first === 0xff) {
        if (this.#open.pop() !== Infinity) throw malformed();
        this.#at++;
        continue;
      }
      const size = argumentSize(first & 31);
      if (this.#at + 1 + size > bytes.length) return undefined;
      const argument = argumentOf(view, this.#at + 1, first & 31);
      this.#at += 1 + size;
      this.#open.push(this.#open.pop()! - 1);
      this.#enter(first >> 5, argument);
    }
    if (this.#at > bytes.length) return undefined;
    const length = this.#at;
    this.#at = 0;
    this.#open = [1];
    return length;
  }

  /** Skips the text or bytes of an item, or opens it. */
  #enter(type: number, argument: number): void {
    if (argument === Infinity) {
      if (type < 2 || type > 5) throw malformed();
      this.#open.push(Infinity);
    } else if (type === 2 || type === 3) this.#at += argument;
    else if (type === 4) this.#open.push(argument);
    else if (type === 5) this.#open.push(2 * argument);
    else if (type === 6) this.#open.push(1);
    if (this.#open.length > maxDepth) throw malformed();
  }
}

function argumentSize(info: number): number {
  if (info < 24 || info === 31) return 0;
  if (info > 27) throw malformed();
  return 2 ** (info - 24);
}

function argumentOf(view: DataView, at: number, info: number): number {
  switch (info) {
    case 24:
      return view.getUint8(at);
    case 25:
      return view.getUint16(at);
    case 26:
      return view.getUint32(at);
    case 27:
      return Number(view.getBigUint64(at));
    case 31:
      return Infinity;
  }
  return info;
}

function malformed(): CliError {
  return new CliError("the input is not CBOR");
}

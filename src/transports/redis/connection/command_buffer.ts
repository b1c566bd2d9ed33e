import { Buffer } from "node:buffer";

/** The words of a command, and its arguments. */
export type CommandPart = string | Uint8Array;

/** Commands that leave together, as RESP arrays of texts. */
export class CommandBuffer {
  /** What is complete. */
  #pieces: Uint8Array[] = [];
  /** Text, and bytes between two texts, which become the next piece. */
  #parts: CommandPart[] = [];
  #text = "";
  /** The number of bytes of the next piece. */
  #size = 0;

  /** Adds a command. Its bytes must not change until they were sent. */
  add(command: readonly CommandPart[], more: readonly CommandPart[] = []): void {
    this.#addText(`*${command.length + more.length}\r\n`);
    for (const part of command) this.#addPart(part);
    for (const part of more) this.#addPart(part);
  }

  #addPart(part: CommandPart): void {
    if (typeof part === "string") {
      const size = Buffer.byteLength(part);
      return this.#addText(`$${size}\r\n${part}\r\n`, size - part.length);
    }
    this.#addText(`$${part.length}\r\n`);
    if (part.length < large) {
      this.#parts.push(this.#text, part);
      this.#text = "";
      this.#size += part.length;
    } else {
      this.#endPiece();
      this.#pieces.push(part); // it is not copied
    }
    this.#addText("\r\n");
  }

  /** @param more by how much its bytes are more than its UTF-16 code units */
  #addText(text: string, more = 0): void {
    this.#text += text;
    this.#size += text.length + more;
  }

  #endPiece(): void {
    const bytes = Buffer.allocUnsafe(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      if (typeof part === "string") at += bytes.write(part, at);
      else {
        bytes.set(part, at);
        at += part.length;
      }
    }
    bytes.write(this.#text, at);
    this.#pieces.push(bytes);
    this.#parts = [];
    this.#text = "";
    this.#size = 0;
  }

  /** Returns what was added, in few pieces, and forgets it. */
  take(): Uint8Array[] {
    if (this.#size > 0) this.#endPiece();
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
}

/** Bytes of an argument that is sent without a copy. */
const large = 16_384;

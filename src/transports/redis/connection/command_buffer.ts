import { Buffer } from "node:buffer";

/** The words of a command, and its arguments. */
export type CommandPart = string | Uint8Array;

/** Commands that leave together, as RESP arrays of texts. */
export class CommandBuffer {
  /** Text, and bytes between two texts. */
  #parts: CommandPart[] = [];
  #text = "";

  /** Adds a command. Its bytes must not change until they were sent. */
  add(command: readonly CommandPart[], more: readonly CommandPart[] = []): void {
    this.#text += `*${command.length + more.length}\r\n`;
    for (const part of command) this.#addPart(part);
    for (const part of more) this.#addPart(part);
  }

  #addPart(part: CommandPart): void {
    if (typeof part === "string") {
      this.#text += `$${Buffer.byteLength(part)}\r\n${part}\r\n`;
      return;
    }
    this.#parts.push(`${this.#text}$${part.length}\r\n`, part);
    this.#text = "\r\n";
  }

  /** Returns what was added, in few pieces, and forgets it. */
  take(): Uint8Array[] {
    const parts = this.#parts;
    if (this.#text !== "") parts.push(this.#text);
    this.#parts = [];
    this.#text = "";
    const pieces: Uint8Array[] = [];
    let from = 0;
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      if (typeof part === "string" || part.length < large) continue;
      pieces.push(joined(parts.slice(from, i)), part); // it is not copied
      from = i + 1;
    }
    if (from < parts.length) pieces.push(joined(from === 0 ? parts : parts.slice(from)));
    return pieces;
  }
}

function joined(parts: readonly CommandPart[]): Buffer {
  let size = 0;
  for (const part of parts) {
    size += typeof part === "string" ? Buffer.byteLength(part) : part.length;
  }
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    if (typeof part === "string") at += bytes.write(part, at);
    else {
      bytes.set(part, at);
      at += part.length;
    }
  }
  return bytes;
}

/** Bytes of an argument that is sent without a copy. */
const large = 16_384;

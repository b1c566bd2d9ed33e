import { OncePerTurn } from "../../shared/once_per_turn.ts";
import { maxNumbers } from "./protocol/frame.ts";

/**
 * The loans of one connection that were settled in this turn of the event loop. Few frames settle many: they leave at
 * the end of the turn, or before the next frame, so that a put finds the room that an acceptance has made.
 */
export class SettledLoans {
  readonly #send: (header: string) => void;
  #accepted: number[] = [];
  #moved: number[] = [];
  #released: number[] = [];
  #counted: number[] = [];
  readonly #flushing = new OncePerTurn(() => this.flush());
  #isEmpty = true;

  constructor(send: (header: string) => void) {
    this.#send = send;
  }

  accept(number: number, isMoved: boolean): void {
    (isMoved ? this.#moved : this.#accepted).push(number);
    this.#flushSoon();
  }

  release(number: number, counted: boolean): void {
    (counted ? this.#counted : this.#released).push(number);
    this.#flushSoon();
  }

  flush(): void {
    if (this.#isEmpty) return;
    this.#isEmpty = true;
    this.#accepted = this.#sendAll("ACC", this.#accepted);
    this.#moved = this.#sendAll("ACC", this.#moved, ' {"moved":true}');
    this.#released = this.#sendAll("REL", this.#released);
    this.#counted = this.#sendAll("REL", this.#counted, ' {"counted":true}');
  }

  #flushSoon(): void {
    this.#isEmpty = false;
    this.#flushing.schedule();
  }

  #sendAll(word: string, numbers: number[], fields = ""): number[] {
    if (numbers.length === 0) return numbers;
    for (let i = 0; i < numbers.length; i += maxNumbers) {
      this.#send(`${word} ${numbers.slice(i, i + maxNumbers).join(" ")}${fields}`);
    }
    return [];
  }
}

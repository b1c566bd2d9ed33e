import { maxBytes, maxMessages } from "../file/transaction_queue.ts";
import type { Stats } from "../../transport.ts";
import type { Row } from "../file/messages.ts";
import { Claims } from "./claims.ts";
import { type Lender, SqliteLoan } from "./loan.ts";
import { ReadAhead } from "./read_ahead.ts";
import { ReadAheadSize } from "../../read_ahead_size.ts";
import { Settlements } from "./settlements.ts";
import type { TakeStep } from "./take_step.ts";

/**
 * The consumers of a link, and the messages that it holds for them.
 *
 * Invariant: consumers or messages of the read-ahead are left, never both, except until the next transaction, which
 * is scheduled: while a consumer wants its attempts counted and the file does not count them, or a released message
 * precedes the read-ahead.
 */
export class Consumers implements Lender {
  readonly claims: Claims = new Claims();
  readonly readAhead: ReadAhead;
  readonly readAheadSize: ReadAheadSize = new ReadAheadSize(maxMessages, maxBytes);
  readonly settlements: Settlements = new Settlements();
  readonly #stats: Stats;
  readonly #schedule: () => void;
  #isEnded = false;

  /** @param schedule schedules a transaction of the link */
  constructor(stats: Stats, schedule: () => void) {
    this.#stats = stats;
    this.#schedule = schedule;
    this.readAhead = new ReadAhead(schedule);
  }

  /** Adds a message to the read-ahead; `serve` hands it over. */
  add(row: Row, isRecorded: boolean): void {
    this.readAhead.add(new SqliteLoan(row, this, isRecorded));
  }

  /** Applies a step that is committed. */
  apply({ recorded, returned, emptyPolls, rows, given }: TakeStep): void {
    for (const loan of recorded) {
      loan.isRecorded = true;
      this.settlements.lent.delete(loan);
    }
    this.readAhead.remove(returned);
    const isRecorded = this.claims.isCounting;
    this.claims.endPolls(emptyPolls);
    for (const row of rows) this.add(row, isRecorded);
    for (const row of given) this.add(row, false);
  }

  /** Hands over messages of the read-ahead. */
  serve(): void {
    const { claims, readAhead, settlements } = this;
    for (let loan = readAhead.first; loan !== undefined; loan = readAhead.first) {
      if (claims.size === 0) break;
      if (settlements.hasReleased || claims.isCounting && !loan.isRecorded) {
        this.#schedule();
        break;
      }
      this.#handOver(readAhead.shift()!);
    }
    readAhead.setTimer();
  }

  #handOver(loan: SqliteLoan): void {
    const consumer = this.claims.shift()!;
    this.readAheadSize.count(loan.message.body.byteLength);
    if (loan.redelivered) this.#stats.redeliveries++;
    this.#stats.loans++;
    loan.lend(consumer.counted);
    if (!loan.isRecorded) {
      this.settlements.lent.add(loan);
      this.#schedule();
    }
    consumer.deliver(loan);
  }

  settled(loan: SqliteLoan): void {
    if (loan.outcome === "accepted") this.#stats.gets++;
    this.#stats.loans--;
    if (this.#isEnded) return;
    this.settlements.add(loan);
    this.#schedule();
  }

  /** Forgets all messages, and returns them. */
  end(): SqliteLoan[] {
    this.#isEnded = true;
    const { settlements, readAhead } = this;
    const loans = [...settlements.clear(), ...settlements.lent, ...readAhead];
    readAhead.clear();
    return loans;
  }
}

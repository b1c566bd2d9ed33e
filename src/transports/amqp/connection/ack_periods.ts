/** The acks that one AMQP channel sent within a short time. */
export interface AckPeriod {
  /**
   * Whether the AMQP channel was lost soon after: the broker may not know of the acks, and deliver the messages again.
   */
  isLost: boolean;
}

/** Divides the acks of one AMQP channel into periods, and tells which of them the broker may not know. */
export class AckPeriods {
  /** The period of an ack that is sent now. */
  current: AckPeriod = { isLost: false };
  #began = performance.now();
  /** The periods whose acks the broker may forget if it is killed, and when it had read them. */
  readonly #recent: { readonly period: AckPeriod; readonly read: number }[] = [];

  /** The broker has read all acks before its latest answer. */
  confirmed(): void {
    const now = performance.now();
    if (now - this.#began < leastPeriod) return;
    this.#recent.push({ period: this.current, read: now });
    this.current = { isLost: false };
    this.#began = now;
    while (now - this.#recent[0]!.read > safeTime) this.#recent.shift();
  }

  /** The AMQP channel has ended. */
  lost(): void {
    this.current.isLost = true;
    const now = performance.now();
    for (const { period, read } of this.#recent) period.isLost = now - read < safeTime;
  }
}

/** Milliseconds that a period has at least, so that their number is limited. */
const leastPeriod = 500;

/** Milliseconds after which an ack that RabbitMQ has read is on its disk. */
const safeTime = 5000;

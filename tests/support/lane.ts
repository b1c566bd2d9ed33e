import { type Broker, type Supply, variablesOf } from "./broker.ts";
import { brokerVersion } from "./net.ts";
import { assertRestarts, type PrivateBroker } from "./private_node.ts";

/** The results of the brokers of one version. */
export interface BrokerResult {
  /** The version that the brokers report. */
  version: string;
  /** How many private nodes were restarted after their tests and recovered everything. */
  restarted: number;
  /** What was wrong with the others after their restart. */
  failed: string[];
}

/**
 * Owns the broker of one lane. It starts the broker when the first test needs it and replaces it when another one is
 * needed.
 */
export class Lane {
  #supply: Supply | undefined;
  #broker: Broker | undefined;
  #version = "of an unknown version";
  #signal: AbortSignal;
  #restarts: boolean;
  #record: (result: BrokerResult) => void;

  /**
   * @param signal cancels a start
   * @param restarts whether a private node is restarted after its tests to verify that it recovers
   * @param record called with the result of each broker when it ends
   */
  constructor(signal: AbortSignal, restarts: boolean, record: (result: BrokerResult) => void) {
    this.#signal = signal;
    this.#restarts = restarts;
    this.#record = record;
  }

  /** Returns a broker of a supply: the current one, or a new one that replaces it. */
  async use(supply: Supply): Promise<{ version: string; variables: Record<string, string> }> {
    if (this.#supply !== supply) {
      await this.end();
      const broker = this.#broker = await supply.start(this.#signal);
      this.#supply = supply;
      const { hostname, port, protocol } = new URL(broker.uri);
      const version = protocol === "amqp:"
        ? await brokerVersion(hostname, Number(port || 5672))
        : undefined;
      this.#version = version ?? "of an unknown version";
    }
    return { version: this.#version, variables: variablesOf(supply, this.#broker!) };
  }

  /** Ends the broker. Idempotent. */
  async end(): Promise<void> {
    const broker = this.#broker;
    this.#broker = this.#supply = undefined;
    if (broker === undefined) return;
    const result: BrokerResult = { version: this.#version, restarted: 0, failed: [] };
    try {
      if (this.#restarts && "restart" in broker && !this.#signal.aborted) {
        await assertRestarts(broker as PrivateBroker);
        result.restarted++;
      }
    } catch (error) {
      result.failed.push((error as Error).message);
    } finally {
      await broker[Symbol.asyncDispose]();
    }
    this.#record(result);
  }
}

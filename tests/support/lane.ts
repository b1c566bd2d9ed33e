import { type Broker, type Supply, variablesOf } from "./broker.ts";
import { brokerVersion } from "./net.ts";
import { assertRestarts, type PrivateBroker } from "./private_node.ts";

/** What came of the brokers of one version. */
export interface BrokerResult {
  /** The version that they give. */
  version: string;
  /** How many private nodes were restarted after their tests, and came up with all that they held. */
  restarted: number;
  /** What was wrong with others after their restart. */
  failed: string[];
}

/** The broker that a lane has to itself: one at a time, started when the first test needs it. */
export class Lane {
  #supply: Supply | undefined;
  #broker: Broker | undefined;
  #version = "of an unknown version";
  #signal: AbortSignal;
  #restarts: boolean;
  #record: (result: BrokerResult) => void;

  /**
   * @param signal gives up starting
   * @param restarts whether a private node is restarted after its tests, to see whether it can be
   * @param record called with what came of a broker at its end
   */
  constructor(signal: AbortSignal, restarts: boolean, record: (result: BrokerResult) => void) {
    this.#signal = signal;
    this.#restarts = restarts;
    this.#record = record;
  }

  /** Has a broker of a supply: the one at hand, or another one in its place. */
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

  /** Ends with its broker. Idempotent. */
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

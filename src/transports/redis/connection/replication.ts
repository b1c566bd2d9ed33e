/** The server of a connection, as {@linkcode Replication} asks it. */
export interface ReplicationSource {
  /** The longest time in milliseconds for which a command may wait; undefined for no limit. */
  readonly longestWait: number | undefined;
  /** Reports whether the connection is lost. */
  isLost(): boolean;
  /** Runs a command. Rejects with the server's refusal, or the loss of the connection. */
  // deno-lint-ignore no-explicit-any -- each command has its own reply
  command(args: readonly string[]): Promise<any>;
  /** Tells the logger what follows the address. */
  warn(problem: string): void;
}

/** Which of the writes of one connection the replicas of its server have. */
export class Replication {
  readonly #source: ReplicationSource;
  /** How many replicas the server had at some time since the connection was made, and when they were counted. */
  #replicas = 0;
  #countedAt = 0;
  /** Whether the last question to the replicas was not answered in time. */
  #isBehind = false;

  constructor(source: ReplicationSource) {
    this.#source = source;
  }

  /** The server has said how many replicas it has. */
  counted(replicas: number): void {
    this.#replicas = replicas;
    this.#countedAt = performance.now();
  }

  /** Resolves with whether half of the replicas, or more, have what the connection has written before. */
  async isReplicated(): Promise<boolean> {
    this.#countReplicas();
    const needed = Math.ceil(this.#replicas / 2);
    if (needed === 0) return true;
    // While the command waits, the server runs no other one of this connection.
    const most = this.#isBehind ? shortReplicationTimeout : replicationTimeout;
    const timeout = Math.min(most, this.#source.longestWait ?? most);
    const wait = ["WAIT", String(needed), String(timeout)];
    const count = await this.#source.command(wait).catch((error) => {
      if (this.#source.isLost()) throw error;
      this.#source.warn(
        `did not say whether replicas have a put with durability "quorum": ${error.message}`,
      );
      return 0;
    });
    this.#isBehind = count < needed;
    return !this.#isBehind;
  }

  /** Notes replicas that have come: a server that has just become the primary has none yet. */
  #countReplicas(): void {
    if (performance.now() - this.#countedAt < countTime) return;
    this.#countedAt = performance.now();
    this.#source.command(["INFO", "replication"]).then(
      (text) => {
        const online = String(text).match(/^slave\d+:.*\bstate=online\b/gm) ?? [];
        this.#replicas = Math.max(this.#replicas, online.length);
      },
      () => {}, // the user may not run it, or the connection is lost
    );
  }
}

/** Milliseconds within which the replicas must have a put, and the same after they have been too late. */
const replicationTimeout = 2000;
const shortReplicationTimeout = 200;

/** Milliseconds between two questions how many replicas there are. */
const countTime = 1000;

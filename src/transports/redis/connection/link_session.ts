import type { Buffer } from "node:buffer";
import type { ProcessRef } from "../../remote/process_ref.ts";
import type { RemoteSession } from "../../remote/remote_session.ts";
import type { SessionSource } from "../../remote/session_source.ts";
import type { ScriptName } from "../scripts/mod.ts";
import type { ServerState } from "./server_check.ts";
import type { Watch } from "./watch.ts";

/** A link on a connection, which the scripts of other processes tell of what happens. */
export interface NotifiedLink {
  /** @param words the words of the text, without the number of the link */
  notified(words: readonly string[], bytes: Buffer): void;
}

/** What a link needs of a connection to the server of its channel. */
export interface LinkSession extends RemoteSession {
  readonly address: string;
  readonly processRef: ProcessRef;
  /** What the server has told of itself when the connection was made. */
  readonly state: ServerState;
  /** The links on the connection that wait. */
  readonly watch: Watch;
  /** Reports something that may lose values: once for each text. */
  readonly warn: (problem: string) => void;
  offLost(listener: () => void): void;
  /** Adds a link, and returns the name under which scripts know it: `SESSION/LINK`. */
  addLink(link: NotifiedLink): string;
  removeLink(holder: string): void;
  /**
   * Runs a script. The scripts run in the order of the calls. Rejects with the server's refusal, or, if the connection is
   * lost, with the loss.
   */
  // deno-lint-ignore no-explicit-any -- each script has its own reply
  run(script: ScriptName, key: string, args: readonly (string | Buffer)[]): Promise<any>;
  /** Resolves when the server has answered, and so everything has been heard that it had sent before. */
  ping(): Promise<void>;
  /** Resolves with whether half of the replicas, or more, have what this connection has written before. */
  isReplicated(): Promise<boolean>;
}

/** What a closed link may have left at the server. */
export interface LeftBehind {
  /** The names of its attachments that may have taken effect. */
  readonly holders: readonly string[];
  /** The loans that it has accepted, as the server knows them, and whose acceptance is not confirmed. */
  readonly accepted: readonly string[];
  /** The same for those that it has released, each with how often its message was tried, or "-". */
  readonly released: readonly (readonly [entry: string, tried: string])[];
}

/** Where a link gets its connections from. */
export interface LinkSessionSource extends SessionSource<LinkSession> {
  /**
   * Removes what a closed link has left behind that could not detach. Absent if the end of its connection does that: in a cluster,
   * other connections show that the process lives.
   */
  leave?(left: LeftBehind): void;
}

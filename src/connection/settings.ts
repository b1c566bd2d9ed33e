/** The connection that a channel without a `connection` option uses. */
export interface Settings {
  /** The URI of the connection, with its credentials: never shown. */
  readonly uri: string;
  /** Milliseconds for which an unreachable broker is retried; absent where the configuration does not say. */
  readonly retryTimeout?: number;
  /** Where the settings come from, for error messages: `CHANNELTS_URI`, a file's path, or `default`. */
  readonly source: string;
  /** The line of the file that decides on the URI. Absent for other sources. */
  readonly line?: number;
}

/** The options of every command, which may stand before or after its name. */
export interface CommonOptions {
  readonly connection?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

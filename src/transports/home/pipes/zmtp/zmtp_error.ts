/** The other end of a connection does not follow ZMTP, or refuses this end. Its message is the reason alone. */
export class ZmtpError extends Error {
  /** What the other end is told in an ERROR command before the connection is closed; absent if nothing. */
  readonly told?: string;
  /** Whether one of the two ends does not accept the other's credentials or security mechanism. */
  readonly isRefusal: boolean;

  constructor(
    message: string,
    options: { readonly told?: string; readonly isRefusal?: boolean } = {},
  ) {
    super(message);
    if (options.told !== undefined) this.told = options.told;
    this.isRefusal = options.isRefusal ?? false;
  }
}

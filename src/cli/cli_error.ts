/** A failure whose message is for the user of the program: `put: what happened; what to do`. */
export class CliError extends Error {
  override readonly name: string = "CliError";
  readonly exitCode: number;

  constructor(
    message: string,
    options: { readonly exitCode?: number; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Arguments that mean nothing, or values that cannot be read. The exit code is 2. */
export class UsageError extends CliError {
  override readonly name = "UsageError";

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, exitCode: 2 });
  }
}

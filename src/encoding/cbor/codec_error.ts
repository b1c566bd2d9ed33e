/** Bytes that are not exactly one value of the wire format. */
export class CodecError extends Error {
  override readonly name = "CodecError";
  /** The number of bytes that were read before the fault. */
  readonly offset: number;

  constructor(problem: string, offset: number, options?: ErrorOptions) {
    super(`${problem} at byte ${offset}`, options);
    this.offset = offset;
  }
}

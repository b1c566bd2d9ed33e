/** Bytes that are not one well-formed value of the wire format. */
export class CodecError extends Error {
  override readonly name = "CodecError";
  /** How many bytes were read when the fault was found. */
  readonly offset: number;

  constructor(problem: string, offset: number, options?: ErrorOptions) {
    super(`${problem} at byte ${offset}`, options);
    this.offset = offset;
  }
}

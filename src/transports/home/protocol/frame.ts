/**
 * A received frame: a header line and a body. The header is a word, then arguments with a space before each; the last
 * may be a JSON object. See docs/home-protocol.md.
 */
export interface Frame {
  readonly word: string;
  /** The arguments that are no JSON. */
  readonly args: readonly string[];
  /** The JSON object; empty if the header has none. Its members are untrusted. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The body; empty if the frame has none. */
  readonly body: Uint8Array;
}

import assert from "node:assert/strict";
import { encode } from "../../src/encoding/cbor/mod.ts";

/** Returns the message of the DataCloneError that encoding a value must throw. */
export function rejectionOf(value: unknown): string {
  try {
    encode(value);
  } catch (error) {
    assert.ok(error instanceof DOMException, String(error));
    assert.equal(error.name, "DataCloneError");
    return error.message;
  }
  assert.fail("encode accepted a value that cannot be cloned");
}

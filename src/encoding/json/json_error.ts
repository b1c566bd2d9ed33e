/** Bytes that are not one JSON value. The message shows no part of them, since they may hold a password. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/** What tells one process's files, beside the one with the channels, from another's. */
export function newToken(): string {
  return crypto.randomUUID().slice(-12);
}

/** Returns what the log says of a copy, which comes after a put was sent again or a connection was lost. */
export function droppedCopyText(name: string, address: string): string {
  return `channel ${name} on ${address}: a copy of a value was dropped: this process has had the value`;
}

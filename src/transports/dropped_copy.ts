/** Returns what the log says of a copy, which comes after a put was sent again or a connection was lost. */
export function droppedCopyText(name: string): string {
  return `channel ${name}: a copy of a value was dropped: this process has had the value`;
}

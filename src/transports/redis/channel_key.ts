/** Returns what the names of the channel's keys begin with. What is in braces determines the slot in a cluster. */
export function keyOf(name: string): string {
  return `channelts:{${name.replace(/[%{}]/g, encodeURIComponent)}}`;
}

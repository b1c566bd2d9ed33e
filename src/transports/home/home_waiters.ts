import type { Claim, EmptyWaiter, RoomWaiter } from "../transport.ts";
import type { HomeAttachment } from "./home_attachment.ts";

/** What waits at a home or for a connection: a claim, or a waiter for room or for an empty channel. */
export type Waiter = Claim | RoomWaiter | EmptyWaiter;

/** Asks the home for what a claim or waiter waits for. */
export function beginWaiting(attachment: HomeAttachment, one: Waiter): void {
  if ("deliver" in one) attachment.take(one);
  else if ("tryAgain" in one) attachment.awaitRoom(one);
  else attachment.awaitEmpty(one);
}

/** Rejects what waits. A waiter for room is told to look again, and its operation learns what is wrong. */
export function rejectWaiting(one: Waiter, make: (action: string) => Error): void {
  if ("deliver" in one) one.reject(make("get"));
  else if ("tryAgain" in one) one.tryAgain();
  else one.reject(make("whenEmpty"));
}

import { equal } from "node:assert/strict";
import { pause } from "./conformance/fixture.ts";
import { Meeting } from "../src/home/meeting.ts";
import type { Claim, Link, Loan, RoomWaiter } from "../src/transports/transport.ts";

Deno.test("a taker meets a put although the engine tells of room while the taker looks for a message", async () => {
  const loan = {} as Loan;
  let waiter: RoomWaiter | undefined;
  let claim: Claim | undefined;
  const link = {
    awaitRoom: (one: RoomWaiter) => void (waiter = one),
    tryTake() {
      waiter?.tryAgain();
      return Promise.resolve(undefined);
    },
    take: (one: Claim) => void (claim = one),
    withdraw: () => false,
  } as Partial<Link> as Link;
  const meeting = Meeting.at(link);
  meeting.awaitRoom({ tryAgain() {} });
  const taken = meeting.tryTake(false);
  await Promise.resolve().then(() => {});
  claim?.deliver(loan);
  equal(await taken, loan);
  await pause(60); // the timer of the meeting ends
});

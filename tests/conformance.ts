/**
 * The conformance suite: what every transport must do, in the words of the design's section 2.
 *
 * @module
 */
import { broadcastsTests } from "./conformance/broadcasts.ts";
import { capacityTests } from "./conformance/capacity.ts";
import { closingTests } from "./conformance/closing.ts";
import { deadLettersTests } from "./conformance/dead_letters.ts";
import { deletingTests } from "./conformance/deleting.ts";
import { directionTests } from "./conformance/directions.ts";
import { drainingTests } from "./conformance/draining.ts";
import { emptinessTests } from "./conformance/emptiness.ts";
import { encodingTests } from "./conformance/encoding.ts";
import { fairnessTests } from "./conformance/fairness.ts";
import { gettingTests } from "./conformance/getting.ts";
import { headersTests } from "./conformance/headers.ts";
import { hostileTests } from "./conformance/hostile.ts";
import { hostileRequestTests } from "./conformance/hostile_requests.ts";
import { iterationTests } from "./conformance/iteration.ts";
import { lifetimeTests } from "./conformance/lifetime.ts";
import { putOptionsTests } from "./conformance/put_options.ts";
import { puttingTests } from "./conformance/putting.ts";
import { racesTests } from "./conformance/races.ts";
import { receivingTests } from "./conformance/receiving.ts";
import { referenceTests } from "./conformance/references.ts";
import { requestTests } from "./conformance/requests.ts";
import { type Setup, suite } from "./conformance/fixture.ts";
import { selectingTests } from "./conformance/selecting.ts";
import { statsTests } from "./conformance/stats.ts";
import { streamTests } from "./conformance/streams.ts";
import { terminationTests } from "./conformance/termination.ts";
import { unreadableTests } from "./conformance/unreadable.ts";
import { volumeTests } from "./conformance/volume.ts";

/** Declares the suite for one transport. */
export function testTransport(label: string, setup: Setup): void {
  const tests = suite(label, setup, setup.share);
  for (
    const declare of [
      gettingTests,
      racesTests,
      selectingTests,
      puttingTests,
      putOptionsTests,
      headersTests,
      fairnessTests,
      receivingTests,
      deadLettersTests,
      iterationTests,
      closingTests,
      terminationTests,
      drainingTests,
      capacityTests,
      emptinessTests,
      statsTests,
      deletingTests,
      lifetimeTests,
      referenceTests,
      directionTests,
      requestTests,
      hostileRequestTests,
      streamTests,
      encodingTests,
      unreadableTests,
      hostileTests,
      volumeTests,
      broadcastsTests,
    ]
  ) declare(tests);
}

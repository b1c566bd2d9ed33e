/**
 * What every transport must do: the words of the design's section 2, as tests.
 *
 * @module
 */
import { capacityTests } from "./conformance/capacity.ts";
import { closingTests } from "./conformance/closing.ts";
import { deadLettersTests } from "./conformance/dead_letters.ts";
import { deletingTests } from "./conformance/deleting.ts";
import { drainingTests } from "./conformance/draining.ts";
import { encodingTests } from "./conformance/encoding.ts";
import { fairnessTests } from "./conformance/fairness.ts";
import { gettingTests } from "./conformance/getting.ts";
import { iterationTests } from "./conformance/iteration.ts";
import { lifetimeTests } from "./conformance/lifetime.ts";
import { puttingTests } from "./conformance/putting.ts";
import { racesTests } from "./conformance/races.ts";
import { receivingTests } from "./conformance/receiving.ts";
import { referenceTests } from "./conformance/references.ts";
import { type Setup, suite } from "./conformance/scene.ts";
import { terminationTests } from "./conformance/termination.ts";
import { unreadableTests } from "./conformance/unreadable.ts";
import { volumeTests } from "./conformance/volume.ts";

/** Runs the suite on one transport. */
export function testTransport(label: string, setup: Setup): void {
  const tests = suite(label, setup);
  for (
    const declare of [
      gettingTests,
      racesTests,
      puttingTests,
      fairnessTests,
      receivingTests,
      deadLettersTests,
      iterationTests,
      closingTests,
      terminationTests,
      drainingTests,
      capacityTests,
      deletingTests,
      lifetimeTests,
      referenceTests,
      encodingTests,
      unreadableTests,
      volumeTests,
    ]
  ) declare(tests);
}

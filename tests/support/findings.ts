import assert from "node:assert/strict";
import type { Finding } from "../../src/connection/inspect.ts";
import type { Examination } from "../../src/cli/doctor/examination.ts";
import { examine } from "../../src/cli/doctor/examine.ts";

/** What the command doctor has found. */
export class Findings {
  readonly all: Finding[] = [];

  /** Returns the one finding about something. */
  of(about: string): Finding {
    const found = this.all.filter((finding) => finding.about === about);
    assert.equal(found.length, 1, `findings about ${about} in ${this}`);
    return found[0]!;
  }

  /** Reports whether there is a finding about something. */
  has(about: string): boolean {
    return this.all.some((finding) => finding.about === about);
  }

  /** The warnings and problems about the broker, the home or the file. */
  get wrong(): Finding[] {
    return this.all.filter(({ level, about }) =>
      about !== "secret" && (level === "warning" || level === "problem")
    );
  }

  /** What is wrong is about these, in this order. */
  assertWrong(...about: string[]): void {
    assert.deepEqual(this.wrong.map((finding) => finding.about), about, String(this));
  }

  toString(): string {
    return JSON.stringify(this.all, undefined, 1);
  }
}

/** Examines a connection. Every warning and problem has a cure, and nothing contains a text of `secrets`. */
export async function findingsOf(
  uri: string | undefined,
  options: Partial<Examination> & { readonly secrets?: readonly string[] } = {},
): Promise<Findings> {
  const { secrets = [], ...rest } = options;
  const findings = new Findings();
  await examine({
    ...uri === undefined ? {} : { uri },
    timeout: 20_000,
    signal: new AbortController().signal,
    report: (finding) => findings.all.push(finding),
    ...rest,
  });
  for (const { level, what, cure, about } of findings.all) {
    assert.match(`${what}\n${cure ?? what}`, /\S\n\S/);
    assert.match(about, /^[a-z]+(-[a-z]+)*$/);
    if (level === "warning" || level === "problem") assert.ok(cure, `${what}: no cure`);
    assert.doesNotMatch(`${what}${cure ?? ""}`, /undefined|\[object|NaN|\p{Cc}/u);
  }
  const password = uri === undefined ? undefined : /:\/\/[^@/:]*:([^@]+)@/.exec(uri)?.[1];
  for (const secret of [...secrets, ...password === undefined ? [] : [password]]) {
    if (secret === "guest") continue; // it is the name of the user, too
    assert.ok(!findings.toString().includes(secret), `a secret is shown: ${findings}`);
  }
  return findings;
}

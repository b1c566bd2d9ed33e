// The transport of docs/writing-a-transport.md.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { ArrayTransport } from "../examples/transport/array_transport.ts";
import type { ImmediateLink, Link, LinkOptions } from "../mod.ts";
import { testTransport } from "./conformance.ts";
import { linkOptions, rawOn } from "./support/link.ts";
import { snippetsOf } from "./support/pages/pages.ts";
import { programOf } from "./support/pages/snippets.ts";
import { ROOT } from "./support/test_files.ts";

/** The transport, with its links. */
class WatchedTransport extends ArrayTransport {
  readonly links = new Map<string, ImmediateLink>();

  override async open(name: string, options: LinkOptions): Promise<Link> {
    const link = await super.open(name, options);
    this.links.set(name, link as ImmediateLink);
    return link;
  }
}

const transport = new WatchedTransport();
const other = Object.assign(new ArrayTransport(), { address: "array:elsewhere" });

testTransport("array", {
  features: transport.features,
  connection: (_n) => transport,
  elsewhere: () => other,
  raw: async (name) => rawOn(await transport.open(name, linkOptions)),
  async exists(name) {
    const link = await transport.open(name, { ...linkOptions, create: false })
      .catch(() => undefined);
    await link?.close();
    return link !== undefined;
  },
  waiting: (name) => Promise.resolve(Math.min(transport.links.get(name)?.waiting ?? 0, 1)),
});

const page = "docs/writing-a-transport.md";
const example = "examples/transport/array_transport.ts";
const [shown, use, setup] = snippetsOf(page);

Deno.test(`${page} shows ${example}, which has about 60 lines`, () => {
  const text = readFileSync(join(ROOT, example), "utf8");
  assert.equal(shown!.text, text);
  const code = text.split("\n").filter((line) => !/^ *(?:\/\/.*|\/\*\*.*\*\/)?$/.test(line));
  assert.ok(code.length <= 65, `${code.length} lines`);
});

Deno.test(`${page} shows how this file declares the suite`, () => {
  const text = readFileSync(new URL(import.meta.url), "utf8");
  assert.ok(text.includes(setup!.text));
});

Deno.test(`${page} uses the transport as an object and by a URI`, async () => {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-transport-"));
  try {
    const places = { broker: "", redis: "", folder };
    writeFileSync(join(folder, "array_transport.ts"), programOf(shown!, places));
    const program = join(folder, "program.ts");
    writeFileSync(program, programOf(use!, places));
    await import(pathToFileURL(program).href);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Parts of the program `channelts` that its commands do not show. */
import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ReceiptsReader } from "../src/cli/receipts.ts";
import { Splitter } from "../src/cli/splitter.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

Deno.test("cli: a line without an end is refused once it is too large, and the lines before it are read", () => {
  const splitter = new Splitter({}, 10);
  const read: string[] = [];
  const push = (text: string) => {
    for (const { bytes } of splitter.push(bytesOf(text))) {
      read.push(new TextDecoder().decode(bytes));
    }
  };
  push('"a long line of a chunk"\n"b"\n');
  push("1234567890");
  throws(() => push("1"), /^CliError: line 3 has more than 10 bytes; put large values in parts$/);
  deepEqual(read, ['"a long line of a chunk"', '"b"']);
});

Deno.test("cli: nobody but the user can ever connect to the socket of receipts", async () => {
  const folder = mkdtempSync(join(tmpdir(), "channelts-receipts-"));
  const path = join(folder, "socket");
  const abort = new AbortController();
  const umask = process.umask();
  const listening = ReceiptsReader.listen(path, abort.signal);
  listening.catch(() => {}); // it is looked at below
  const mode = statSync(path).mode & 0o777; // the socket exists as soon as the call has returned
  abort.abort(new Error("the test is over"));
  await rejects(listening, /the test is over/);
  equal(mode, 0o600);
  equal(process.umask(), umask);
  rmSync(folder, { recursive: true });
});

// deno-lint-ignore-file no-console
//
// A project that uses the npm package: user.mjs ENTRIES URI… prints lines of JSON. The last URI is that of a Redis. It runs on Node 20, so it is
// JavaScript. Beside it are `required.cjs` and the compiled `disposal.ts` and quickstart.

import { createRequire } from "node:module";
import process from "node:process";

const [entries, ...uris] = process.argv.slice(2);
const write = console.log;
const report = (what) => write(JSON.stringify(what));

const require = createRequire(import.meta.url);
for (const entry of JSON.parse(entries)) {
  const required = require("./required.cjs")(entry); // first, so that CommonJS loads the modules
  const imported = await import(entry);
  report({ entry, isSame: required.Channel === imported.Channel, names: Object.keys(imported) });
}

const { isDisposed } = await import("./disposal.js");
report({ isDisposed: await isDisposed("memory:") });

const redis = await import("@channelts/channel/redis"); // which knows no other scheme
const ch = new redis.Channel({ connection: uris.at(-1) });
await ch.put(7);
report({ alone: await ch.get() });
await ch.delete();

for (const [i, uri] of uris.entries()) {
  const printed = [];
  console.log = (...words) => printed.push(words.join(" "));
  process.argv[2] = uri;
  try {
    await import(`./quickstart.js?${i}`);
    report({ uri: i, printed });
  } catch (error) {
    report({ uri: i, error: `${error.name}: ${error.message}` });
  }
}

// deno-lint-ignore-file no-console
//
// A crawler that sends a limited number of requests a second, however many processes fetch.
//
//   deno run -A examples/crawler.ts [URL] [--rate N] [--fetchers N]      N requests a second, by N processes
//   bun crawler.ts …
//   node crawler.ts …                                                    Node 22.18 or newer
//
// Without URL, the program crawls a small site that it serves itself. The processes share a SQLite file of this machine,
// or with `--connection` a RabbitMQ (`amqp://localhost`) or a Redis (`redis://localhost`).
//
// The first process knows which pages were seen. The fetchers get their URLs from the channel `urls`, and answer with
// the links of each page on the channel `pages`. Before each request, a fetcher gets a token. A channel with a capacity
// is a token bucket: `every` adds a token at each tick, unless the bucket is full.
//
// A fetcher may be killed with `kill -9` at any time: the URL that it had on loan goes to another one. If the first
// process is killed, the crawl ends and begins anew when it is started again: the fetchers end when they get nothing for
// a minute, and the channels, which have no names, vanish 30 minutes after their last use.

import { Channel, ChannelClosedError, every } from "@channelts/channel";
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";

interface Page {
  readonly url: string;
  /** The HTTP status, or the reason why there is none. */
  readonly status: number | string;
  readonly links: readonly string[];
}

/** Milliseconds for which a fetcher waits for a URL, and then for a token. */
const IDLE = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    connection: { type: "string" },
    rate: { type: "string", default: "10" },
    fetchers: { type: "string", default: "2" },
  },
});
// Channels without the option `connection` use this variable, also in the fetchers, which inherit it.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "sqlite:";

const [first, ...names] = positionals;
if (first === "fetch" && names.length === 3) await fetchPages(...names as [string, string, string]);
else if (first !== undefined) await crawl(new URL(first));
else await crawlOwnSite();

async function crawl(start: URL): Promise<void> {
  const urls = new Channel<string>();
  const pages = new Channel<Page>();
  const tokens = new Channel<null>({ capacity: 1 });
  await tokens.depth(); // creates the channel, which decides its capacity
  const limiting = limit(tokens, Number(values.rate));
  const fetchers = Array.from(
    { length: Number(values.fetchers) },
    () => startFetcher([urls.name, tokens.name, pages.name]),
  );

  const seen = new Set<string>();
  const open = new Set<string>(); // was put and not fetched yet
  const visit = async (url: string) => {
    if (seen.has(url)) return;
    seen.add(url);
    open.add(url);
    await urls.put(url);
  };
  await visit(start.href);
  while (open.size > 0) {
    const { url, status, links } = await pages.get({ timeout: 2 * IDLE }); // rejects if all fetchers died
    if (!open.delete(url)) continue; // fetched twice: its first fetcher was killed after it had answered
    console.log(status, url);
    for (const link of links) {
      if (URL.canParse(link, url) && new URL(link, url).origin === start.origin) {
        await visit(new URL(link, url).href);
      }
    }
  }
  console.log(`${seen.size} pages`);

  await urls.closeAll({ drain: true }); // ends the fetchers, also one that has only just started
  await Promise.all(fetchers);
  await Promise.all([urls.delete(), tokens.delete(), pages.delete()]);
  await limiting; // ends as its channel is deleted
}

/** Adds a token at each tick. If the process was late, `every` has one tick for all that were missed. */
async function limit(tokens: Channel<null>, rate: number): Promise<void> {
  for await (const _ of every(1000 / rate)) {
    if (await tokens.tryPut(null) === "closed") break;
  }
}

/** A fetcher: it ends when the URLs are closed and done, and with an error when its channels are idle. */
async function fetchPages(urls: string, tokens: string, pages: string): Promise<void> {
  const queue = new Channel<string>(urls);
  const bucket = new Channel<null>(tokens);
  const out = new Channel<Page>(pages);
  try {
    for (;;) {
      const delivery = await queue.receive({ timeout: IDLE });
      await bucket.get({ timeout: IDLE });
      await out.put(await fetchPage(delivery.value));
      delivery.accept();
    }
  } catch (error) {
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}

async function fetchPage(url: string): Promise<Page> {
  try {
    const response = await fetch(url, {
      headers: { "user-agent": `crawler.ts (process ${process.pid})` },
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    const links = [...text.matchAll(/<a\s[^>]*href="([^"#]+)/gi)].map(([, link]) => link!);
    return { url, status: response.status, links };
  } catch (error) {
    return { url, status: String(error), links: [] };
  }
}

/** Runs a fetcher in a process of its own, and resolves when it ends. */
async function startFetcher(names: readonly string[]): Promise<void> {
  const fetcher = fork(process.argv[1]!, ["fetch", ...names]);
  console.log(`fetcher ${fetcher.pid} starts`);
  const [, signal] = await once(fetcher, "exit");
  if (signal !== null) console.log(`fetcher ${fetcher.pid} was killed by ${signal}`);
}

/** Crawls a site of 13 pages that this process serves. */
async function crawlOwnSite(): Promise<void> {
  const site = createServer((request, response) => {
    const n = Number(request.url!.slice(1));
    const links = [3 * n + 1, 3 * n + 2, 3 * n + 3].map((n) => `<a href="/${n}">${n}</a>`);
    response.setHeader("content-type", "text/html");
    response.end(n < 4 ? links.join() : "no links");
  });
  await once(site.listen(0, "127.0.0.1"), "listening");
  await crawl(new URL(`http://127.0.0.1:${(site.address() as AddressInfo).port}/0`));
  site.close();
  site.closeAllConnections();
}

/** The memory entry in a page and in a module Worker of Chromium. */

import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { Chromium, findChromium, type Page } from "./support/chromium.ts";
import { linkPackages, noNpm } from "./support/npm.ts";
import { installedPackage } from "./support/package.ts";
import { test } from "./support/test.ts";
import { ROOT, TESTS } from "./support/test_files.ts";
import { bundle, conformanceBundle, type Files } from "./support/web_bundle.ts";
import { Control } from "./homes/control.ts";
import type { Outcome } from "./web/outcome.ts";

const chromium = noNpm ? new Error(noNpm) : await findChromium();
const skip = chromium instanceof Error && chromium.message;

/** Quotes an error. */
const PAGE = "docs/browsers-and-edge.md";

/** Whether a page and a Worker each have the whole suite on a home, or one half of it each: their code is the same. */
const isWhole = process.env.HOMES === "all";

/** A page that may run only its own scripts, and connect nowhere. */
const HTML = `<!doctype html><meta charset="utf-8"><title>Channels</title>
<link rel="icon" href="data:,">
<script type="module" src="page.js"></script>`;

const POLICY =
  "default-src 'none'; script-src 'self'; worker-src 'self'; frame-src 'self'; img-src data:";

/** The page calls a function of a module itself, and has a module Worker call it. */
const SCRIPT = `
globalThis.here = async (module, name) => await (await import(module))[name]();
globalThis.inWorker = (module, name) => new Promise((resolve, reject) => {
  const worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => "error" in data ? reject(new Error(data.error)) : resolve(data.value);
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage([module, name]);
});`;

const WORKER = `
onmessage = async ({ data: [module, name] }) => {
  try {
    postMessage({ value: await (await import(module))[name]() });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};`;

/** Opens a page with these scripts, and closes the browser in the end. A home is at `/channels`, if there is one. */
async function inPage(
  scripts: Files,
  body: (page: Page, version: string) => Promise<void>,
  control?: Control,
) {
  const files = new Map([["", HTML], ["page.js", SCRIPT], ["worker.js", WORKER], ...scripts]);
  const server = createServer(async (request, response) => {
    const name = request.url!.slice(1);
    if (control !== undefined && name === "ask") {
      const answer = await control.answer(JSON.parse(await text(request)));
      return response.end(JSON.stringify({ answer }));
    }
    const content = files.get(name);
    response.writeHead(content === undefined ? 404 : 200, {
      "content-type": /^$|html$/.test(name) ? "text/html" : "text/javascript",
      "content-security-policy": control === undefined ? POLICY : `${POLICY}; connect-src 'self'`,
    });
    response.end(content);
  });
  server.on("upgrade", (request, socket, head) => control!.home.upgrade(request, socket, head));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await using browser = await Chromium.start(chromium as string);
    const { port } = server.address() as AddressInfo;
    const page = await browser.open(`http://127.0.0.1:${port}/`);
    await body(page, browser.version);
    assert.deepEqual(page.problems, []);
  } finally {
    await closed(server);
  }
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Bundles a program of the package's users for a browser. */
async function bundled(options: Record<string, unknown>): Promise<Files> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-web-"));
  try {
    linkPackages((await installedPackage()).folder, folder);
    return await bundle({
      platform: "browser",
      minify: true,
      nodePaths: [join(folder, "node_modules")],
      ...options,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("browser: a page and a module Worker use channels", { skip }, async () => {
  const scripts = await bundled({ entryPoints: [join(TESTS, "web", "exercise.js")] });
  await inPage(scripts, async (page) => {
    const call = `("./exercise.js", "exercise")`;
    const [here, inWorker] = await Promise.all([
      page.evaluate(`here${call}`),
      page.evaluate(`inWorker${call}`),
    ]) as string[][];
    assert.ok(here!.length > 10);
    assert.deepEqual(inWorker, here);
  });
});

test(
  "browser: the conformance suite passes in a page and in a module Worker",
  { skip },
  async () => {
    await inPage(await conformanceBundle(), async (page, version) => {
      for (const where of ["here", "inWorker"] as const) {
        await checkConformance(page, version, where, "./conformance.js");
      }
    });
  },
);

test(
  "browser: the conformance suite on a home passes in a page and in a module Worker",
  { skip, timed: "a get with timeout 0 waits for the home for one second" },
  async () => {
    const control = await Control.start({ addresses: [], engine: "memory:" });
    try {
      await inPage(await conformanceBundle("home"), async (page, version) => {
        const check = (where: "here" | "inWorker", half: string) => {
          const [name, least] = isWhole ? ["conformance", 350] as const : [half, 180] as const;
          return checkConformance(page, version, where, "./home_conformance.js", name, least);
        };
        // At the same time: the test runs alone, so a get with timeout 0 is answered within its second.
        await Promise.all([check("here", "oneHalf"), check("inWorker", "otherHalf")]);
      }, control);
    } finally {
      await control.home.close();
    }
  },
);

test("browser: a page is the home of a Worker and an iframe, by ports", { skip }, async () => {
  const scripts = new Map(
    await bundled({
      entryPoints: [join(TESTS, "web", "page_home.js")],
      splitting: true,
      external: ["node:*", "buffer", "net", "tls", "ws", "libsodium-wrappers", "yaml"],
    }),
  );
  const begin = `({ data: { role }, ports: [port] }) => work(role, port)`;
  scripts.set("peer.js", `import { work } from "./page_home.js"; onmessage = ${begin};`);
  scripts.set("framed.js", `import { work } from "./page_home.js"; onmessage = ${begin};`);
  scripts.set("frame.html", `<!doctype html><script type="module" src="framed.js"></script>`);
  await inPage(scripts, async (page) => {
    const { sums, roles, attempts, held } = await page.evaluate(
      `here("./page_home.js", "pageHome")`,
    ) as Record<string, unknown>;
    assert.deepEqual(sums, Array.from({ length: 40 }, (_, n) => 2 * n + 20_000));
    assert.deepEqual(roles, ["iframe", "worker"]);
    assert.deepEqual([held, attempts], ["held", 2]);
  });
});

/** Runs the suite of a module in the page or in a Worker. */
async function checkConformance(
  page: Page,
  version: string,
  where: "here" | "inWorker",
  module: string,
  name = "conformance",
  least = 350,
): Promise<void> {
  const { passed, failed, unknown, skipped } = await page.evaluate(
    `${where}("${module}", "${name}")`,
  ) as Outcome;
  assert.deepEqual(failed, [], where);
  assert.deepEqual(unknown, [], `${where}: no test begins so`);
  assert.ok(passed > least, `${passed} passed`);
  const place = where === "here" ? "a page" : "a Worker";
  process.stdout.write(`${passed} passed in ${place} of ${version}, ${skipped} cannot run there\n`);
}

test(
  "browser: a scheme that needs Node's modules is refused, with what to do",
  { skip },
  async () => {
    const program = `
    import * as memory from "@channelts/channel/memory";
    import * as all from "@channelts/channel";
    export async function errors() {
      const found = [];
      for (const { Channel } of [memory, all]) {
        for (const connection of ["amqp://127.0.0.1:1", "amqps://127.0.0.1:1", "sqlite:./x.db"]) {
          try {
            await new Channel({ connection }).put(1);
          } catch (error) {
            found.push(error.name + ": " + error.message);
          }
        }
      }
      const ch = new all.Channel();
      await ch.put("by the main entry");
      return [...found, await ch.get()];
    }`;
    const scripts = await bundled({
      stdin: { contents: program, resolveDir: TESTS },
      entryNames: "errors",
      splitting: true,
      external: ["node:*", "buffer", "net", "tls"],
    });
    await inPage(scripts, async (page) => {
      const found = await page.evaluate(`here("./errors.js", "errors")`) as string[];
      process.stdout.write(found.join("\n") + "\n");
      assert.equal(found.pop(), "by the main entry");
      assert.ok(readFileSync(join(ROOT, PAGE), "utf8").includes(found[0]!.slice(20)), found[0]);
      assert.equal(found.length, 6);
      for (const [i, error] of found.entries()) {
        const scheme = i % 3 < 2 ? "amqps?" : "sqlite";
        assert.match(
          error,
          new RegExp(`^ChannelConfigError: (new Channel|put): ${scheme}: connections need `),
        );
        assert.match(error, /memory:/);
      }
    });
  },
);

/** docs/operations.md: its commands run on a broker, and each row of its table of permissions is enough. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import {
  Channel,
  ChannelClosedError,
  ChannelConnectionError,
  type ChannelOptions,
  Connection,
  serve,
} from "../mod.ts";
import { connectionsRest, rejection, within } from "./conformance/fixture.ts";
import { noControl } from "./support/conditions.ts";
import { controlFromEnv } from "./support/control.ts";
import { evalErlang } from "./support/erlang.ts";
import { blocksOf, readPage } from "./support/pages/pages.ts";
import { rawPut } from "./support/raw.ts";
import { test } from "./support/test.ts";
import { addUser, type Permissions, type User } from "./support/users.ts";

const page = "docs/operations.md";
const broker = process.env.BROKER!;
ok(broker, "BROKER names no broker: run with `deno task test`");
const control = controlFromEnv()!;

/** The tools of the broker, which the commands name without a path. */
const tools = control === undefined ? "" : dirname(control.ctl[0]!);
const noTools = noControl ||
  !existsSync(join(tools, "rabbitmq-diagnostics")) && "the broker's tools cannot be run here";

/** Runs a block of shell commands with the broker's tools. Resolves with its output. */
async function runShell(commands: string): Promise<string> {
  const env = { ...process.env, ...control.env, PATH: `${tools}:${process.env.PATH}` };
  const { stdout } = await promisify(execFile)("sh", ["-euc", commands], { env });
  return stdout;
}

test("operations: the commands run, and the user that they make may do what the page says", {
  skip: noTools,
}, async (t) => {
  const blocks = blocksOf(page).filter(({ language, info }) =>
    language === "sh" && info === "broker"
  );
  ok(blocks.length >= 4);
  try {
    for (const { line, text } of blocks) {
      await t.step(`the commands of line ${line}`, async () => {
        const output = await runShell(text);
        if (text.includes("list_policies")) match(output, /max-length.*reject-publish/);
      });
    }
    const uri = new URL(broker);
    [uri.username, uri.password, uri.pathname] = ["invoices", "a long password", "/billing"];
    const connection = new Connection(uri.href, { retryTimeout: 5000 });
    const open = (name: string, options: ChannelOptions = {}) =>
      new Channel<number>({ name, connection, ...options });
    await t.step("the user does everything with its channels", () => within(useAll(open)));
    await t.step("the policy makes puts wait", async () => {
      const jobs = open("jobs");
      for (const n of [1, 2, 3]) await jobs.put(n);
      equal(await jobs.tryPut(4), "full");
      equal(await jobs.get(), 1);
      equal(await jobs.tryPut(4), "ok");
      const queues = await runShell("rabbitmqctl -q list_queues -p billing name policy");
      match(queues, /^jobs\tbounded$/m);
      match(queues, /^amq\.gen-\S+\t$/m);
      await jobs.delete();
      await jobs.close();
    });
    await t.step("the user may use no other channel", async () => {
      const other = open("payments");
      const error = await within(rejection(other.put(1), ChannelConnectionError));
      equal(error.reason, "permission");
      await other.close();
    });
    await t.step(
      "no permission keeps the user from putting into a queue of the vhost",
      async () => {
        const vhost = new URL(broker);
        vhost.pathname = "/billing";
        await runShell(
          `rabbitmqctl set_permissions -p billing ${vhost.username || "guest"} '.*' '.*' '.*'`,
        );
        const payments = new Channel({ name: "payments", connection: vhost.href });
        await payments.depth();
        await rawPut(uri.href, "payments", [1]);
        equal(await payments.get(), 1);
        await payments.close();
      },
    );
    await connectionsRest();
  } finally {
    await evalErlang(
      control,
      `rabbit_vhost:delete(<<"billing">>, <<"tests">>),
       rabbit_auth_backend_internal:delete_user(<<"invoices">>, <<"tests">>)`,
    );
  }
});

/** Uses two channels in every way. */
async function useAll(open: (name: string, options?: ChannelOptions) => Channel<number>) {
  const jobs = open("jobs", { maxAttempts: 1 });
  await jobs.put(1);
  (await jobs.receive()).release();
  equal(await jobs.deadLetters.get(), 1);
  await jobs.deadLetters.closeAll({ drain: true });
  await jobs.deadLetters.delete();

  const results = open("results");
  const heard = results.dup().broadcasts();
  await heard.ready;
  await results.broadcast(5);
  equal((await heard.next()).value, 5);
  await results.closeAll();
  await results.close();

  const asked = open("results");
  const ending = new AbortController();
  const serving = serve(asked, (n) => 2 * n, { signal: ending.signal, grace: 0 });
  equal(await asked.dup().request(21), 42);
  ending.abort();
  await serving.catch(() => {});

  const anonymous = jobs.clone<number>();
  await anonymous.put(1);
  await anonymous.closeAll();
  const drained = open("jobs");
  await drained.put(1);
  await drained.closeAll({ drain: true, timeout: 5000 }).catch(() => {});
  equal(await drained.get(), 1);
  equal((await rejection(open("jobs").get(), ChannelClosedError)).reason, "drain");
  await open("jobs").delete();
  await open("results").delete();
}

/** What a row is tried with. */
interface Context {
  /** A handle of a user with all permissions. */
  readonly all: Channel<number>;
  /** Makes a handle of the limited user, on the same channel. */
  open(options?: ChannelOptions): Channel<number>;
  readonly connection: Connection;
}

const T = { timeout: 10_000 };

/** Reports how the get of a handle ends while `act` runs. */
async function endOf(ch: Channel<number>, act: () => Promise<void>): Promise<string> {
  const ended = ch.get(T).then(() => "got a value", (error) => error.reason ?? error.message);
  await ch.depth(); // it is attached
  await act();
  return await ended;
}

/** The rows of the table by their first cells. */
const uses: Readonly<Record<string, (context: Context) => Promise<void>>> = {
  "every connection": async ({ open }) => {
    const ch = open(); // the refusal is that of the channel, and not of the connection
    const error = await rejection(ch.depth(), ChannelConnectionError);
    match(error.message, /for (?:queue|exchange) test/);
  },
  "`get`, `receive`, loops, `broadcasts`, `depth`": async ({ all, open }) => {
    const ch = open();
    equal(await ch.depth(), 0);
    const heard = ch.broadcasts();
    await heard.ready;
    await all.broadcast(5);
    equal((await heard.next()).value, 5);
    for (const n of [1, 2, 3]) await all.put(n);
    equal(await ch.get(T), 1);
    (await ch.receive(T)).accept();
    for await (const value of ch) {
      equal(value, 3);
      break;
    }
    equal(await endOf(ch, () => all.closeAll()), "closeAll");
  },
  "`put`": async ({ all, open }) => {
    await open().put(1);
    equal(await all.get(T), 1);
  },
  "creating the channel": async ({ all, open }) => {
    await all.delete();
    equal(await open().depth(), 0);
  },
  "`closeAll`, `broadcast`": async ({ all, open }) => {
    const heard = all.dup().broadcasts();
    await heard.ready;
    await open().broadcast(5);
    equal((await heard.next()).value, 5);
    equal(await endOf(all.dup(), () => open().closeAll()), "closeAll");
  },
  "`delete`": async ({ all, open }) => {
    equal(await endOf(all.dup(), () => open().delete()), "delete");
  },
  "`closeAll({ drain: true })`": async ({ all, open }) => {
    equal(await endOf(all.dup(), () => open().closeAll({ drain: true })), "drain");
  },
  "noticing the end of a drained channel": async ({ all, open }) => {
    equal(await endOf(open(), () => all.closeAll({ drain: true })), "drain");
  },
  "using a channel that was drained earlier": async ({ all, open }) => {
    await all.closeAll({ drain: true });
    equal((await rejection(open().get(T), ChannelClosedError)).reason, "drain");
  },
  "`receive` with `maxAttempts`": async ({ all, open }) => {
    await all.put(1);
    const ch = open({ maxAttempts: 3 });
    (await ch.receive(T)).release();
    const delivery = await ch.receive(T);
    equal(delivery.attempts, 2);
    delivery.accept();
  },
  "`deadLetters`": async ({ all, open }) => {
    await all.put(1);
    const ch = open({ maxAttempts: 1 });
    (await ch.receive(T)).release();
    equal(await ch.deadLetters.get(T), 1);
  },
  "`request`": async ({ all, open }) => {
    const ending = new AbortController();
    const serving = serve(all, (n) => 2 * n, { signal: ending.signal, grace: 0 });
    equal(await open().request(21, T), 42);
    ending.abort();
    await serving.catch(() => {});
  },
  "`serve`": async ({ all, open }) => {
    const ending = new AbortController();
    const serving = serve(open(), (n) => 2 * n, { signal: ending.signal, grace: 0 });
    equal(await all.request(21, T), 42);
    ending.abort();
    await serving.catch(() => {});
  },
  "an anonymous channel": async ({ connection }) => {
    const ch = new Channel<number>({ connection });
    await ch.put(1);
    equal(await ch.get(T), 1);
    await ch.delete();
  },
  "`closeAll` of an anonymous channel": async ({ connection }) => {
    const ch = new Channel<number>({ connection, expires: 5000 });
    await ch.put(1);
    await ch.closeAll();
  },
  "`closeAll` of a channel with `expires`": async ({ all, open }) => {
    await all.delete();
    const ch = open({ expires: 5000 });
    await ch.depth();
    await ch.closeAll();
  },
};

/** Returns the patterns of a cell of the table. */
const patternsOf = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!);

test(
  "operations: what the table grants for an operation is enough",
  { skip: noControl },
  async (t) => {
    const [, table] = /^\| Operation .*?\n\|[- |]+\n((?:\|.*\n)+)/m.exec(readPage(page))!;
    const rows = table!.trim().split("\n").map((line) => {
      const [title, ...cells] = line.slice(1, -1).split("|").map((cell) => cell.trim());
      return { title: title!, patterns: cells.map(patternsOf) };
    });
    deepEqual(rows.map(({ title }) => title), Object.keys(uses));
    const common = rows[0]!.patterns;

    interface Trial {
      readonly title: string;
      readonly name: string;
      readonly user: User;
    }
    const trials: Trial[] = [];
    for (const { title, patterns } of rows) {
      const name = `test-${randomUUID()}`;
      const [configure, write, read] = patterns.map((own, i) => {
        const each = [...common[i]!, ...own].map((pattern) => pattern.replace(/^jobs/, name));
        return `^(${each.join("|")})$`;
      });
      const permissions: Permissions = { configure: configure!, write: write!, read: read! };
      trials.push({ title, name, user: await addUser(control, broker, permissions) });
    }

    async function run({ title, name, user }: Trial): Promise<void> {
      const connection = new Connection(user.uri, { retryTimeout: 10_000 });
      const handles: Channel<number>[] = [];
      const all = new Channel<number>({ name, connection: broker });
      await all.depth();
      try {
        await uses[title]!({
          all,
          connection,
          open(options = {}) {
            const ch = new Channel<number>({ name, connection, ...options });
            handles.push(ch);
            return ch;
          },
        });
      } finally {
        await Promise.all([...handles, all].map((ch) => ch.close()));
        const last = new Channel({ name, connection: broker, maxAttempts: 1 });
        await Promise.all([last.delete(), last.deadLetters.delete()]);
        await last.close();
      }
    }
    const sanitize = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false }; // they run side by side
    await Promise.all(
      trials.map((trial) =>
        t.step({ name: trial.title, ...sanitize, fn: () => within(run(trial)) })
      ),
    );
    await t.step(
      "a user without permissions for the marker puts into a drained channel",
      async () => {
        const { name, user } = trials.find(({ title }) => title === "`put`")!;
        const all = new Channel<number>({ name, connection: broker });
        await all.depth();
        await all.closeAll({ drain: true });
        const ch = new Channel<number>({ name, connection: user.uri });
        await ch.put(1);
        await ch.close();
        const last = new Channel<number>({ name, connection: broker });
        equal(await last.depth(), 1);
        await last.delete();
        await Promise.all([all.close(), last.close()]);
      },
    );
    await connectionsRest();
    for (const { user } of trials) await user[Symbol.asyncDispose]();
  },
);

/** The command doctor: which connection is used and why, files, homes, what Deno must permit, and what is printed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createServer } from "node:tls";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { Channel } from "../mod.ts";
import { migrations } from "../src/transports/sqlite/file/schema.ts";
import { startHome } from "./homes/home_process.ts";
import { decidedOnDeno, noDeno, onWindows } from "./support/conditions.ts";
import { startChild } from "./support/child.ts";
import { findingsOf } from "./support/findings.ts";
import { freePorts } from "./support/net.ts";
import { startRedis } from "./support/redis.ts";
import { atRest } from "./support/sqlite_file.ts";
import { test } from "./support/test.ts";

/** The home directory, which has the caches of the runtimes. */
const HOME = process.env.HOME;

const isRoot = process.getuid?.() === 0;

/** Calls `use` with a new directory, which is the home directory meanwhile, and without the variables of ChannelTS. */
async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-doctor-"));
  const names = ["HOME", "CHANNELTS_URI", "CHANNELTS_CONFIG"];
  const before = names.map((name) => [name, process.env[name]] as const);
  for (const name of names) delete process.env[name];
  process.env.HOME = folder;
  try {
    await use(folder);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

test("doctor: a certificate that is not trusted, and what the user can set", {}, async () => {
  const text = (name: string) =>
    readFileSync(new URL(`support/tls/${name}`, import.meta.url), "utf8");
  const server = createServer(
    { cert: text("server.pem"), key: text("server.key") },
    (socket) => socket.on("error", () => {}),
  );
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  for (const scheme of ["amqps", "rediss", "wss"]) {
    const findings = await findingsOf(`${scheme}://localhost:${port}`);
    findings.assertWrong("connection");
    const { what, cure } = findings.of("connection");
    assert.match(what, /the certificate of localhost:\d+ is not trusted/, scheme);
    assert.match(cure!, /NODE_EXTRA_CA_CERTS .* DENO_CERT/, scheme);
  }
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("doctor: which connection is used, and why", () =>
  withFolder(async (folder) => {
    const none = await findingsOf(undefined);
    none.assertWrong();
    assert.deepEqual(none.of("source").facts, {
      address: "memory:",
      source: "default",
      kind: "default",
    });
    assert.match(none.of("source").cure!, /CHANNELTS_URI/);
    assert.match(
      none.of("sources").what,
      /CHANNELTS_URI \(it is not set\), CHANNELTS_CONFIG \(it is not set\), \S+\.channelts\.yml \(there is no such/,
    );

    const file = join(folder, ".channelts.yml");
    writeFileSync(file, "# mine\n\nconnection: sqlite:a.db\nretry_timeout: 2\n", { mode: 0o600 });
    const byFile = await findingsOf(undefined);
    assert.match(
      byFile.of("source").what,
      /sqlite:.*a\.db, by line 3 of the file .*\.channelts\.yml/,
    );
    const { line, kind, retryTimeout } = byFile.of("source").facts!;
    assert.deepEqual([line, kind, retryTimeout], [3, "file", 2000]);

    const other = join(folder, "other.yml");
    writeFileSync(other, "connection: RabbitConnection\narguments:\n  uri: memory:b\n");
    process.env.CHANNELTS_CONFIG = other;
    const byNamed = await findingsOf(undefined);
    assert.equal(byNamed.of("source").facts!.line, 3);
    assert.match(byNamed.of("sources").what, /CHANNELTS_CONFIG \(set\), \S+other\.yml \(used\)/);

    process.env.CHANNELTS_URI = "memory:c";
    const byVariable = await findingsOf(undefined);
    assert.match(byVariable.of("source").what, /memory:c, by the variable CHANNELTS_URI/);
    assert.match(byVariable.of("sources").what, /other\.yml \(hidden by CHANNELTS_URI\)/);

    const byOption = await findingsOf("memory:d");
    assert.match(byOption.of("source").what, /memory:d, by the option --connection/);
    assert.match(byOption.of("sources").what, /CHANNELTS_URI \(hidden by --connection\)/);
  }));

Deno.test("doctor: a configuration that is not valid", () =>
  withFolder(async (folder) => {
    const cases: [string, string | undefined, () => void, RegExp, RegExp?][] = [
      ["a scheme", "ampq://u:hunter2@host", () => {}, /ampq:\/\/\*\*\*@host/, /did you mean amqp:/],
      ["a port", "amqp://u:hunter2@host:x", () => {}, /bad port/],
      [
        "an empty variable",
        undefined,
        () => process.env.CHANNELTS_URI = "",
        /CHANNELTS_URI: the variable is set and empty/,
        /unset it/,
      ],
      [
        "a file that is missing",
        undefined,
        () => process.env.CHANNELTS_CONFIG = join(folder, "none.yml"),
        /none\.yml cannot be read: there is no such file/,
      ],
      [
        "a URI for a file",
        undefined,
        () => process.env.CHANNELTS_CONFIG = "amqp://u:hunter2@host",
        /found a URI/,
        /set CHANNELTS_URI/,
      ],
      [
        "a key",
        undefined,
        () => writeFileSync(join(folder, ".channelts.yml"), "conection: amqp://u:hunter2@host\n"),
        /\.channelts\.yml:1: "conection": found an unknown key/,
      ],
    ];
    for (const [title, uri, prepare, what, cure] of cases) {
      delete process.env.CHANNELTS_URI;
      delete process.env.CHANNELTS_CONFIG;
      prepare();
      const findings = await findingsOf(uri, { secrets: ["hunter2"] });
      findings.assertWrong("source");
      assert.match(findings.of("source").what, what, title);
      if (cure !== undefined) assert.match(findings.of("source").cure!, cure, title);
    }
  }));

test(
  "doctor: a password that others may read",
  { skip: onWindows },
  () =>
    withFolder(async (folder) => {
      const [port] = await freePorts(1);
      const uri = `amqp://u:hunter2@127.0.0.1:${port}`;
      const option = await findingsOf(uri, { secrets: ["hunter2"] });
      assert.match(option.of("secret").what, /visible in the list of processes/);
      process.env.CHANNELTS_URI = uri;
      assert.equal((await findingsOf(undefined, { secrets: ["hunter2"] })).has("secret"), false);
      delete process.env.CHANNELTS_URI;
      const file = join(folder, ".channelts.yml");
      writeFileSync(file, `connection: ${uri}\n`);
      chmodSync(file, 0o644);
      const open = await findingsOf(undefined, { secrets: ["hunter2"] });
      assert.match(open.of("secret").what, /mode 644/);
      assert.equal(open.of("secret").cure, `chmod 600 ${file}`);
      chmodSync(file, 0o600);
      assert.equal((await findingsOf(undefined, { secrets: ["hunter2"] })).has("secret"), false);
    }),
);

Deno.test("doctor: a file of SQLite", () =>
  withFolder(async (folder) => {
    const path = join(folder, "jobs.db");
    const uri = `sqlite:${path}`;
    const missing = await findingsOf(uri, { name: "jobs" });
    missing.assertWrong();
    assert.equal(missing.of("file").facts!.exists, false);
    assert.ok(Number(missing.of("disk").facts!.freeBytes) > 0);
    assert.deepEqual(readdirSync(folder), []); // it created nothing

    const jobs = new Channel<number>({
      name: "jobs",
      connection: uri,
      capacity: 3,
      maxAttempts: 1,
    });
    await jobs.put(1);
    await jobs.put(2);
    await jobs.put(3, { delay: 1e9 });
    const delivery = await jobs.receive();
    const getting = new Channel<number>({ name: "waiting", connection: uri });
    const got = getting.get();
    await getting.depth();
    const used = await findingsOf(`${uri}?synchronous=full`, { name: "jobs" });
    used.assertWrong();
    const { messages, loans, delayed, capacity, users } = used.of("channel").facts!;
    assert.deepEqual([messages, loans, delayed, capacity, users], [1, 1, 1, 3, 1]);
    assert.equal(used.of("content").facts!.sessions, 1);
    assert.equal(used.of("durability").level, "ok");
    assert.equal(used.of("integrity").level, "ok");
    assert.ok(Number(used.of("round-trip").facts!.median) > 0);
    assert.equal((await findingsOf(uri, { name: "none" })).of("channel").facts!.exists, false);

    await getting.put(7);
    assert.equal(await got, 7); // the examination disturbed nobody
    delivery.release();
    delivery.accept();
    for (const channel of [getting, jobs]) await channel.close();
    await atRest(path);
    const rested = await findingsOf(uri);
    rested.assertWrong();
    assert.deepEqual(readdirSync(folder), ["jobs.db"]); // nor did it leave a log
  }));

Deno.test("doctor: a channel of SQLite that is closed or full, and its dead letters", () =>
  withFolder(async (folder) => {
    const uri = `sqlite:${join(folder, "jobs.db")}`;
    const full = new Channel<number>({ name: "full", connection: uri, capacity: 1 });
    await full.put(1);
    (await findingsOf(uri, { name: "full" })).assertWrong("capacity");
    const closed = new Channel<number>({ name: "closed", connection: uri });
    await closed.put(1);
    await closed.closeAll({ drain: true });
    (await findingsOf(uri, { name: "closed" })).assertWrong("closed");
    const dead = new Channel<number>({ name: "failing.dead-letters", connection: uri });
    await dead.put(1);
    const failing = new Channel<number>({ name: "failing", connection: uri });
    await failing.depth();
    (await findingsOf(uri, { name: "failing" })).assertWrong("dead-letters");
    for (const channel of [full, closed, dead, failing]) await channel.close();
    await atRest(uri.slice("sqlite:".length));
  }));

Deno.test("doctor: files that cannot be used", () =>
  withFolder(async (folder) => {
    const at = (name: string) => join(folder, name);
    const foreign = new DatabaseSync(at("foreign.db"));
    foreign.exec("CREATE TABLE t (x)");
    foreign.close();
    writeFileSync(at("text.db"), "not a database, but a text that is long enough".repeat(30));
    mkdirSync(at("folder.db"));
    writeFileSync(at("file"), "");
    const newer = new Channel<number>({ name: "x", connection: `sqlite:${at("newer.db")}` });
    await newer.depth();
    await newer.close();
    await atRest(at("newer.db"));
    const edit = (name: string, sql: string) => {
      const db = new DatabaseSync(at(name));
      db.exec(sql);
      db.close();
    };
    edit("newer.db", "PRAGMA user_version = 999");
    const cases: [string, string, RegExp][] = [
      ["none/jobs.db", "file", /directory .*none does not exist/],
      ["file/jobs.db", "file", /file is not a directory/],
      ["folder.db", "file", /is not a regular file/],
      ["foreign.db", "file", /a database of another program/],
      ["text.db", "file", /corrupt, or not a database of ChannelTS/],
      ["newer.db", "file", /written by a newer ChannelTS: its schema version is 999/],
    ];
    for (const [name, about, what] of cases) {
      if (existsSync(at(name))) chmodSync(at(name), name === "folder.db" ? 0o700 : 0o600);
      const before = existsSync(at(name)) && name !== "folder.db" && readFileSync(at(name));
      const findings = await findingsOf(`sqlite:${at(name)}`);
      findings.assertWrong(about);
      assert.equal(findings.of(about).level, "problem");
      assert.match(findings.of(about).what, what);
      if (before) assert.deepEqual(readFileSync(at(name)), before);
    }

    // An earlier schema, and a damaged file.
    edit("newer.db", "PRAGMA user_version = 1");
    (await findingsOf(`sqlite:${at("newer.db")}`)).assertWrong("schema");
    edit("newer.db", `PRAGMA user_version = ${migrations.length}`);
    const bytes = readFileSync(at("newer.db"));
    for (let page = 3; page * 4096 < bytes.length; page++) {
      bytes.fill(0x55, page * 4096 + 8, page * 4096 + 64);
    }
    writeFileSync(at("newer.db"), bytes);
    const damaged = await findingsOf(`sqlite:${at("newer.db")}`);
    assert.equal(damaged.wrong.at(-1)!.level, "problem", String(damaged));
    assert.match(damaged.wrong.at(-1)!.what, /is damaged|is corrupt/);
  }));

test(
  "doctor: a file that others may open, and one that is locked",
  { skip: onWindows },
  () =>
    withFolder(async (folder) => {
      const path = join(folder, "jobs.db");
      const ch = new Channel<number>({ name: "x", connection: `sqlite:${path}` });
      await ch.depth();
      await ch.close();
      await atRest(path);
      chmodSync(path, 0o644);
      const open = await findingsOf(`sqlite:${path}`);
      open.assertWrong("mode");
      assert.equal(open.of("mode").cure, `if they are not to, chmod 600 ${path}`);
      chmodSync(path, 0o600);
      const db = new DatabaseSync(path);
      db.exec("BEGIN IMMEDIATE");
      const locked = await findingsOf(`sqlite:${path}`, { timeout: 200 });
      locked.assertWrong("lock");
      assert.match(locked.of("lock").what, /another program keeps it locked/);
      assert.match(locked.of("lock").cure!, /end its transaction/);
      db.close();
    }),
);

test("doctor: a directory that this user may not write to", {
  skip: onWindows || isRoot && "root may write anywhere",
}, () =>
  withFolder(async (folder) => {
    chmodSync(folder, 0o500);
    try {
      (await findingsOf(`sqlite:${join(folder, "jobs.db")}`)).assertWrong("file");
    } finally {
      chmodSync(folder, 0o700);
    }
  }));

for (const scheme of ["zmq", "ws"]) {
  test(`doctor: homes over ${scheme}:`, { skip: decidedOnDeno }, async (t) => {
    const address = scheme === "zmq" ? "zmq://127.0.0.1:PORT" : "ws://127.0.0.1:PORT/channels";
    const plain = scheme === "zmq" ? "?mechanism=plain" : "";
    await using home = await startHome({
      addresses: [address + plain],
      options: { secret: "correct horse" },
      rule: "public",
    });
    const with_ = (secret: string) => {
      const uri = new URL(home.addresses[0]!.replace(plain, ""));
      return `${uri.protocol}//:${encodeURIComponent(secret)}@${uri.host}${uri.pathname}${plain}`;
    };
    await t.step("in order", async () => {
      const findings = await findingsOf(with_("correct horse"), { name: "public.jobs" });
      findings.assertWrong();
      assert.deepEqual(findings.of("channel").facts, { exists: false });
      assert.equal(findings.of("home").facts!.rendezvous, true);
      assert.ok(Number(findings.of("message-size").facts!.bytes) > 0);
      assert.ok(Number(findings.of("round-trip").facts!.median) > 0);
      assert.equal(findings.of("deno").facts!.flags, `--allow-net=127.0.0.1:${home.ports[0]}`);
      assert.equal(await home.ask({ ask: "exists", name: "public.jobs" }), false);
    });
    await t.step("a channel", async () => {
      const connection = with_("correct horse");
      const ch = new Channel<number>({ name: "public.jobs", connection });
      await ch.put(1);
      const findings = await findingsOf(connection, { name: "public.jobs" });
      const { exists, messages, loans } = findings.of("channel").facts!;
      assert.deepEqual([exists, messages, loans], [true, 1, 0]);
      await ch.closeAll({ drain: true });
      (await findingsOf(connection, { name: "public.jobs" })).assertWrong("closed");
      await ch.close();
    });
    await t.step("a channel that the peer may not use", async () => {
      const findings = await findingsOf(with_("correct horse"), { name: "wages" });
      findings.assertWrong("permission");
      assert.match(findings.of("permission").cure!, /authorize/);
    });
    await t.step("a wrong secret", async () => {
      const findings = await findingsOf(with_("wrong horse"), { timeout: 3000 });
      findings.assertWrong("connection");
      assert.equal(findings.of("connection").level, "problem");
    });
    await t.step("a home that is stopped", async () => {
      home.suspend();
      const findings = await findingsOf(with_("correct horse"), { timeout: 500 });
      home.resume();
      findings.assertWrong("connection");
    });
    await t.step("no home", async () => {
      await home.crash();
      const findings = await findingsOf(with_("correct horse"), { timeout: 300 });
      findings.assertWrong("connection");
      assert.match(findings.of("connection").what, /nothing listens|refused/i);
    });
  });
}

/** Returns the folder of Deno's caches, which are in the home directory. */
function denoDir(): string {
  const env = { ...process.env, HOME };
  const found = spawnSync(process.execPath, ["info", "--json"], { encoding: "utf8", env });
  return JSON.parse(found.stdout).denoDir;
}

test(
  "doctor: what it says that Deno must permit is enough",
  { skip: noDeno },
  async () => {
    await using redis = await startRedis(); // which looks for the server in the home of this process
    await withFolder(async (folder) => {
      const program = new URL("programs/permitted.ts", import.meta.url);
      const uri = `sqlite:${join(folder, "a b.db")}`.replaceAll(" ", "%20");
      const flagsOf = async (uri?: string) =>
        String((await findingsOf(uri)).of("deno").facts!.flags);
      const cache = denoDir();
      const run = async (flags: string, args: string[], env: Record<string, string> = {}) => {
        const runtimeArgs = [
          "--no-prompt",
          ...flags === "" ? [] : flags.replaceAll("'", "").split(/ (?=--)/),
        ];
        await using child = startChild(program, {
          args,
          env: { DENO_DIR: cache, ...env },
          runtimeArgs,
        });
        return await child.next();
      };
      assert.deepEqual(await run(await flagsOf(uri), [uri]), { got: "a value" });
      assert.deepEqual(await run(await flagsOf("memory:"), ["memory:"]), { got: "a value" });
      for (const remote of [process.env.BROKER!, redis.uri]) {
        assert.deepEqual(await run(await flagsOf(remote), [remote]), { got: "a value" });
      }
      const file = join(folder, ".channelts.yml");
      writeFileSync(file, `connection: ${uri}\n`, { mode: 0o600 });
      const byFile = await flagsOf();
      assert.match(byFile, /--allow-env=HOME/);
      assert.deepEqual(await run(byFile, []), { got: "a value" });
      process.env.CHANNELTS_URI = uri;
      assert.deepEqual(await run(await flagsOf(), [], { CHANNELTS_URI: uri }), { got: "a value" });
      // A program with fewer is refused, so the flags say no more than is needed.
      const { error } = await run(`--allow-read=${folder}`, [uri]) as { error: string };
      assert.equal(error, "ChannelConfigError");
    });
  },
);

Deno.test("doctor: the program prints findings and ends with 1 if there is a problem", () =>
  withFolder(async (folder) => {
    const program = new URL("../cli.ts", import.meta.url);
    const uri = `sqlite:${join(folder, "jobs.db")}`;
    const run = async (...args: string[]) => {
      await using child = startChild(program, { args: ["doctor", ...args], env: { HOME } });
      const lines: unknown[] = [];
      for await (const line of child.lines) lines.push(line);
      const { code } = await child.exited;
      return {
        lines: lines as { level: string; about: string; cure?: string }[],
        code,
        stderr: child.stderr,
      };
    };
    const good = await run("jobs", "--json", "--connection", uri);
    assert.equal(good.code, 0, good.stderr);
    assert.ok(good.lines.length >= 5 && good.lines.every(({ level }) => level !== "problem"));
    assert.match(good.stderr, /doctor: nothing is wrong/);
    const bad = await run(
      "--json",
      "--quiet",
      "--connection",
      `sqlite:${join(folder, "none/jobs.db")}`,
    );
    assert.equal(bad.code, 1);
    assert.deepEqual(bad.lines.map(({ level, about }) => [level, about]), [["problem", "file"]]);
    assert.equal(bad.lines[0]!.cure, "create it");
    assert.equal(bad.stderr, "");
  }));

test("doctor: its page has every kind of finding, and no other", { skip: decidedOnDeno }, () => {
  const root = new URL("../", import.meta.url);
  const files = globSync(
    "src/{transports,transports/*,transports/*/inspection,transports/redis/connection,cli/doctor}/*.ts",
    {
      cwd: fileURLToPath(root),
    },
  );
  const found = new Set(
    files.flatMap((file) => {
      const text = readFileSync(new URL(file.replaceAll("\\", "/"), root), "utf8");
      return [...text.matchAll(/(?:\babout: |\bfine\(\s*|\? reason : )"([\w-]+)"/g)].map((
        [, about],
      ) => about!);
    }),
  );
  found.add("permission").add("limit"); // reasons of a refusal
  const page = readFileSync(new URL("docs/doctor.md", root), "utf8");
  const listed = [...page.matchAll(/^\| `(?!about`)([\w-]+)` /gm)].map(([, about]) => about!);
  assert.deepEqual([...new Set(listed)].sort(), listed.toSorted());
  assert.deepEqual(listed.toSorted(), [...found].sort());
});

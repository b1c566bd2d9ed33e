import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import "../mod.ts"; // enables configuration files
import { settings } from "../src/connection/config.ts";
import type { Settings } from "../src/connection/settings.ts";
import { withoutCredentials } from "../src/shared/redact.ts";
import { ChannelConfigError } from "../src/shared/errors.ts";
import { test } from "./support/test.ts";
import { noDeno } from "./support/conditions.ts";
import { cpuTime } from "./support/cpu_time.ts";

const VARIABLES = ["CHANNELTS_URI", "CHANNELTS_CONFIG", "HOME", "USERPROFILE"];

/** Calls `body` with a new directory as home and without the other variables, and restores all of them. */
async function withHome(body: (home: string) => void | Promise<void>): Promise<void> {
  const before = new Map(VARIABLES.map((name) => [name, process.env[name]]));
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "channelts-config-"));
  for (const name of VARIABLES) delete process.env[name];
  process.env["HOME"] = home;
  try {
    await body(home);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    fs.rmSync(home, { recursive: true });
  }
}

async function rejection(): Promise<ChannelConfigError> {
  let found: Settings;
  try {
    found = await settings();
  } catch (error) {
    assert.ok(error instanceof ChannelConfigError, inspect(error));
    assert.doesNotMatch(inspect(error, { showHidden: true, depth: 9 }), /hunter2/);
    assert.doesNotMatch(error.message, /\.$/);
    return error;
  }
  assert.fail(`accepted: ${inspect(found)}`);
}

/** Returns the settings of a configuration file with this text. */
async function parsed(text: string): Promise<Omit<Settings, "source">> {
  let rest: Omit<Settings, "source"> | undefined;
  await withHome(async (home) => {
    fs.writeFileSync(path.join(home, ".channelts.yml"), text);
    const { source, ...found } = await settings();
    assert.equal(source, path.join(home, ".channelts.yml"));
    rest = found;
  });
  return rest!;
}

/**
 * Returns the reason why a configuration file with this text is rejected, without the part that is common to all
 * reasons.
 */
async function refused(text: string | Uint8Array): Promise<string> {
  let message = "";
  await withHome(async (home) => {
    const file = path.join(home, ".channelts.yml");
    fs.writeFileSync(file, text);
    message = (await rejection()).message;
    const start = `the configuration ${file}:`;
    assert.ok(message.startsWith(start), message);
    message = message.slice(start.length);
  });
  return message;
}

Deno.test("without a configuration the connection is memory, known synchronously", () =>
  withHome(() => {
    assert.deepEqual(settings(), { uri: "memory:", source: "default" });
  }));

Deno.test("CHANNELTS_URI takes precedence over every file, and is known synchronously", () =>
  withHome((home) => {
    fs.writeFileSync(path.join(home, ".channelts.yml"), "connection: amqp://file");
    process.env["CHANNELTS_CONFIG"] = path.join(home, ".channelts.yml");
    process.env["CHANNELTS_URI"] = "amqp://u:p@variable";
    assert.deepEqual(settings(), { uri: "amqp://u:p@variable", source: "CHANNELTS_URI" });
  }));

Deno.test("an empty CHANNELTS_URI or CHANNELTS_CONFIG is rejected", () =>
  withHome(async () => {
    process.env["CHANNELTS_CONFIG"] = "";
    assert.match(
      (await rejection()).message,
      /^CHANNELTS_CONFIG: the variable is set and empty; unset it, or set it to the path of a file$/,
    );
    process.env["CHANNELTS_URI"] = "";
    assert.match(
      (await rejection()).message,
      /^CHANNELTS_URI: the variable is set and empty; unset it, or set it to memory:$/,
    );
  }));

Deno.test("a CHANNELTS_URI without a scheme is rejected without showing its credentials", () =>
  withHome(async () => {
    process.env["CHANNELTS_URI"] = "/u:hunter2@host";
    assert.match((await rejection()).message, /CHANNELTS_URI: found "\*\*\*@host", expected a URI/);
  }));

Deno.test("the file of CHANNELTS_CONFIG takes precedence over ~/.channelts.yml, and that over ~/.channelpy.yml", () =>
  withHome(async (home) => {
    const [py, ts, named] = [".channelpy.yml", ".channelts.yml", "named.yml"]
      .map((name) => path.join(home, name));
    fs.writeFileSync(py!, "connection: amqp://py");
    assert.deepEqual(await settings(), { uri: "amqp://py", source: py, line: 1 });
    fs.writeFileSync(ts!, "connection: amqp://ts");
    assert.deepEqual(await settings(), { uri: "amqp://ts", source: ts, line: 1 });
    fs.writeFileSync(named!, "connection: amqp://named");
    process.env["CHANNELTS_CONFIG"] = named;
    assert.deepEqual(await settings(), { uri: "amqp://named", source: named, line: 1 });
  }));

Deno.test("the result is not cached", () =>
  withHome((home) => {
    process.env["CHANNELTS_URI"] = "amqp://a";
    const first = settings();
    process.env["CHANNELTS_URI"] = "amqp://b";
    assert.notDeepEqual(settings(), first);
    assert.ok(home);
  }));

Deno.test("a home directory that does not exist, or is not a directory, is skipped", () =>
  withHome((home) => {
    fs.writeFileSync(path.join(home, "file"), "");
    for (const directory of [path.join(home, "missing"), path.join(home, "file")]) {
      process.env["HOME"] = directory;
      assert.deepEqual(settings(), { uri: "memory:", source: "default" });
    }
  }));

Deno.test("a CHANNELTS_CONFIG that names no file is rejected", () =>
  withHome(async (home) => {
    const missing = path.join(home, "missing.yml");
    process.env["CHANNELTS_CONFIG"] = missing;
    const { message } = await rejection();
    assert.ok(message.includes(missing), message);
    assert.match(message, /^CHANNELTS_CONFIG: .* cannot be read: there is no such file$/);
  }));

Deno.test("a CHANNELTS_CONFIG that is a URI is rejected without showing it", () =>
  withHome(async () => {
    process.env["CHANNELTS_CONFIG"] = "amqp://u:hunter2@host";
    assert.match((await rejection()).message, /found a URI, expected the path of a file/);
  }));

Deno.test("a configuration file that is a directory is rejected, whatever names it", () =>
  withHome(async (home) => {
    fs.mkdirSync(path.join(home, ".channelpy.yml"));
    assert.match(
      (await rejection()).message,
      /\.channelpy\.yml cannot be read: found a directory, expected/,
    );
    process.env["CHANNELTS_CONFIG"] = home;
    assert.match((await rejection()).message, /found a directory, expected a YAML file$/);
  }));

Deno.test("a configuration file that is too large, or not UTF-8, is rejected", () =>
  withHome(async (home) => {
    const file = path.join(home, ".channelts.yml");
    fs.writeFileSync(file, `connection: amqp://host${"\n".repeat(65_536)}`);
    assert.match((await rejection()).message, /larger than 65536 bytes$/);
    fs.writeFileSync(file, new Uint8Array([0xff, 0xfe, 0x63, 0x00]));
    assert.match((await rejection()).message, /not UTF-8 text$/);
  }));

const RABBIT = "connection: RabbitConnection";

for (
  const [title, text, expected] of [
    ["a URI", "connection: amqp://192.168.35.10:5672\n", { uri: "amqp://192.168.35.10:5672" }],
    ["memory:, which is not YAML", "connection: memory:  # x\n", { uri: "memory:" }],
    ["memory: in quotes", 'connection: "memory:"\n', { uri: "memory:" }],
    ["a path", "connection: sqlite:./a.db\n", { uri: "sqlite:./a.db" }],
    [
      "ChannelPy's format",
      `${RABBIT}\narguments:\n  uri: amqp://192.168.35.10:5672\nretry_timeout: 10\n`,
      { uri: "amqp://192.168.35.10:5672", retryTimeout: 10_000, line: 3 },
    ],
    [
      "the format in ChannelPy's README",
      `${RABBIT}\n  uri: amqp://192.168.35.10:5672\n`,
      { uri: "amqp://192.168.35.10:5672", line: 2 },
    ],
    [
      "the format in ChannelPy's README, with comments, blank lines, CR LF and another key",
      `\uFEFF# x\r\n${RABBIT}   # x\r\n\r\n# x\r\n    uri: amqp://u:p@h # x\r\nretry_timeout: 2.5\r\n`,
      { uri: "amqp://u:p@h", retryTimeout: 2500, line: 5 },
    ],
    ["RabbitConnection without arguments", RABBIT, { uri: "amqp://127.0.0.1:5672" }],
    ["RabbitConnection without a URI", `${RABBIT}\narguments: {}`, {
      uri: "amqp://127.0.0.1:5672",
    }],
    ["poll_frequency, ignored", "connection: amqp://h\npoll_frequency: 0.1", { uri: "amqp://h" }],
    ["a retry_timeout of 0", "connection: amqp://h\nretry_timeout: 0", {
      uri: "amqp://h",
      retryTimeout: 0,
    }],
    ["a document start and JSON", '---\n{"connection": "amqp://h"}', { uri: "amqp://h", line: 2 }],
  ] as const
) {
  Deno.test(`a configuration file may contain ${title}`, async () => {
    assert.deepEqual(await parsed(text), { line: 1, ...expected });
  });
}

for (
  const [title, text, message] of [
    ["nothing", "", "1: found nothing, expected a mapping with the key connection"],
    ["comments only", "# x\n# y\n", /^1: found nothing, expected a mapping/],
    ["a list", "\n- amqp://u:hunter2@h\n", /^2: found a list, expected a mapping/],
    [
      "a URI alone",
      "amqp://u:hunter2@h",
      '1: found "amqp://***@h", expected a mapping with the key connection',
    ],
    [
      "no connection",
      "retry_timeout: 1\n",
      /^1: found no key connection, expected connection: a URI/,
    ],
    ["a null connection", "connection:\n", /^1: connection: found nothing, expected a URI/],
    ["a number", "connection: 5672\n", /^1: connection: found 5672, expected a URI/],
    [
      "a list of connections",
      "connection: [amqp://hunter2]",
      /: connection: found a list, expected/,
    ],
    [
      "an unknown class",
      "connection: ZeroConnection\n",
      '1: connection: found "ZeroConnection", expected a URI such as amqp://host:5672, or RabbitConnection',
    ],
    [
      "a class that is almost known",
      "connection: Rabitconnection\n",
      /"Rabitconnection", expected .* \(did you mean RabbitConnection\?\)$/,
    ],
    [
      "an unknown class, in the README's format",
      "\nconnection: ZeroConnection\n  uri: tcp://h",
      /^2: connection: found "ZeroConnection", expected/,
    ],
    ["no scheme, but a password", "connection: /u:hunter2@h", /^1: connection: found "\*\*\*@h"/],
    [
      "an unknown key",
      "connection: amqp://h\nvirtual_host: hunter2\n",
      '2: "virtual_host": found an unknown key, expected one of connection, arguments, retry_timeout, poll_frequency',
    ],
    [
      "a key that is almost known",
      "retryTimeout: 1",
      /^1: "retryTimeout": .*\(did you mean retry_timeout\?\)$/,
    ],
    [
      "an unknown key that is a URI",
      "amqp://u:hunter2@h: 1",
      /^1: "amqp:\/\/\*\*\*@h": found an unknown key/,
    ],
    ["a merge key", "<<: {connection: amqp://h}", /^1: "<<": found an unknown key/],
    [
      "a key that is not a string",
      "connection: amqp://h\n1: 2",
      /^2: found a key that is not a string/,
    ],
    [
      "an argument that is almost known",
      `${RABBIT}\narguments:\n  url: amqp://u:hunter2@h\n`,
      '3: "url": found an unknown key, expected uri (did you mean uri?)',
    ],
    [
      "an unknown argument, in the README's format",
      `${RABBIT}\n  uri: amqp://h\n  password: hunter2\n`,
      /^3: "password": found an unknown key, expected uri$/,
    ],
    [
      "arguments that are not a mapping",
      `${RABBIT}\narguments: amqp://u:hunter2@h`,
      /^2: arguments: found "amqp:\/\/\*\*\*@h", expected a mapping with the key uri$/,
    ],
    [
      "arguments that are null",
      `${RABBIT}\narguments:\n`,
      /^2: arguments: found nothing, expected a mapping/,
    ],
    ["arguments that are a list", `${RABBIT}\narguments:\n- uri\n`, /^3: arguments: found a list/],
    [
      "arguments beside a URI",
      "connection: amqp://h\narguments: {}",
      /^2: arguments: found arguments beside a URI, expected/,
    ],
    [
      "a uri that is null",
      `${RABBIT}\narguments:\n  uri:\n`,
      /^3: uri: found nothing, expected a URI/,
    ],
    [
      "a uri that is empty",
      `${RABBIT}\narguments:\n  uri: ""\n`,
      /^3: uri: found "", expected a URI/,
    ],
    [
      "a uri that is a list",
      `${RABBIT}\narguments: {uri: [amqp://u:hunter2@h]}`,
      /^2: uri: found a list/,
    ],
    [
      "a uri without a scheme",
      `${RABBIT}\n  uri: 192.168.35.10`,
      /^2: uri: found "192.168.35.10", expected a URI/,
    ],
    [
      "a connection twice",
      "connection: amqp://a\nconnection: amqp://b",
      "2: connection: found the key a second time, expected it once (line 1 has it)",
    ],
    [
      "a connection twice, once in the README's format",
      `${RABBIT}\n  uri: amqp://h\nconnection: amqp://h`,
      /^3: connection: found the key a second time, .*line 1/,
    ],
    [
      "a uri twice",
      `${RABBIT}\n  uri: amqp://h\n  uri: amqp://h`,
      /^3: uri: found the key a second time/,
    ],
    [
      "a negative time",
      "connection: amqp://h\nretry_timeout: -1",
      "2: retry_timeout: found -1, expected a number of seconds, 0 or more",
    ],
    [
      "a time that is text",
      'connection: amqp://h\nretry_timeout: "10"',
      /^2: retry_timeout: found "10", expected a number/,
    ],
    [
      "a time with a unit",
      "connection: amqp://h\nretry_timeout: 10s",
      /^2: retry_timeout: found "10s"/,
    ],
    [
      "an infinite time",
      "connection: amqp://h\nretry_timeout: .inf",
      /^2: retry_timeout: found Infinity/,
    ],
    ["NaN as a time", "connection: amqp://h\nretry_timeout: .nan", /^2: retry_timeout: found NaN/],
    [
      "a time that is null",
      "connection: amqp://h\nretry_timeout:",
      /^2: retry_timeout: found nothing/,
    ],
    [
      "an unclosed quote",
      '\nconnection: "amqp://u:hunter2@h\n',
      /^\d: found a YAML syntax error \(Missing closing "quote\), expected valid YAML$/,
    ],
    ["an unclosed list", "connection: [amqp://u:hunter2@h\n", /^2: found a YAML syntax error/],
    ["a bad block header", "connection: |hunter2", /^1: found a YAML syntax error/],
    [
      "a tab",
      "connection: RabbitConnection\narguments:\n\turi: hunter2",
      /^3: found a YAML syntax error/,
    ],
    [
      "a mapping below a URI",
      "connection: amqp://u:hunter2@h\n  retry_timeout: 1",
      /^\d: found a YAML syntax error/,
    ],
    [
      "an unknown tag",
      "connection: !hunter2 x",
      "1: found a YAML syntax error (Unresolved tag), expected valid YAML",
    ],
    [
      "two documents",
      "connection: amqp://h\n---\nconnection: amqp://h",
      /^2: found a YAML syntax error/,
    ],
    ["an undefined alias", "connection: *x", /^1: connection: found an alias, expected a URI/],
    ["an alias", "poll_frequency: &x amqp://h\nconnection: *x", /^2: connection: found an alias/],
  ] as const
) {
  Deno.test(`a configuration file with ${title} is rejected with line and reason`, async () => {
    const found = await refused(text);
    if (typeof message === "string") assert.equal(found, message);
    else assert.match(found, message);
  });
}

Deno.test("a configuration file that would expand exponentially is rejected quickly", async () => {
  const start = cpuTime();
  const bomb = ["a: &a0 [x]"];
  for (let i = 1; i < 100; i++) bomb.push(`a${i}: &a${i} [${`*a${i - 1},`.repeat(20)}]`);
  assert.match(await refused(bomb.join("\n")), /^1: "a": found an unknown key/);
  await refused("[".repeat(60_000));
  await refused("{a: ".repeat(15_000));
  await refused("- ".repeat(30_000));
  await refused("connection: a\n".repeat(4_000));
  await refused(`connection: ${"?a".repeat(30_000)}`);
  await refused(Array.from({ length: 9_000 }, (_, i) => `k${i}:`).join("\n"));
  assert.ok(cpuTime() - start < 10_000);
});

Deno.test("withoutCredentials hides user and password and shows the rest", () => {
  for (
    const [uri, shown] of [
      ["amqp://user:pass@host:5672/v", "amqp://***@host:5672/v"],
      ["amqp://user@host", "amqp://***@host"],
      ["amqp://user:p@ss@host", "amqp://***@host"],
      ["amqp://user:p/ss@host/v", "amqp://***@host/v"],
      ["amqp://user:p?s#s@host", "amqp://***@host"],
      ["amqp://user:pass%40host", "amqp://***%40host"],
      ["amqp://user:pass", "amqp://user:***"],
      ["amqp://user:pa/ss", "amqp://user:***"],
      ["amqp://user:99999", "amqp://user:***"],
      ["amqp://a,user:pass,b/v", "amqp://a,user:***"],
      ["amqp://user:pa,ss@a,b:1,[::1]/v", "amqp://***@a,b:1,[::1]/v"],
      ["amqp://a,user:pass@b,c", "amqp://***@b,c"],
      ["amqp://u:pass@a,u:pass@b", "amqp://***@b"],
      ["amqp://[::1]:pass", "amqp://[:***"],
      ["amqp://a,[user:pass", "amqp://a,[user:***"],
      ["amqp://a,[user:pass]", "amqp://a,[user:***"],
      ["amqp://a:1,[::1],[fe80::1]:2/v", "amqp://a:1,[::1],[fe80::1]:2/v"],
      ["amqp:user:pass@host", "***@host"],
      ["amqp:/user:pass@host", "***@host"],
      ["user:pass@host", "***@host"],
      [" AMQPS://user:pass@host", " AMQPS://***@host"],
      ["wss://host/x?a=1&access_token=abc&b=2", "wss://host/x?a=1&access_token=***&b=2"],
      ["wss://u:p@host/x?Password=abc", "wss://***@host/x?Password=***"],
      ["amqp://host", "amqp://host"],
      ["amqp://host:5672/v%2F", "amqp://host:5672/v%2F"],
      ["amqp://[::1]:5672", "amqp://[::1]:5672"],
      ["amqp://host:", "amqp://host:"],
      ["memory:", "memory:"],
      ["sqlite:/a/b.db", "sqlite:/a/b.db"],
      ["localhost:5672", "localhost:5672"],
      ["\ud800%", "\ud800%"],
      ["", ""],
    ] as const
  ) assert.equal(withoutCredentials(uri), shown);
});

Deno.test("withoutCredentials is fast on long text", () => {
  const start = cpuTime();
  for (
    const part of ["?", "?pass", "@", ":", "amqp://", "&a=", "%40", " ", "a,", "amqp://[", "[:,"]
  ) {
    withoutCredentials(part.repeat(100_000));
  }
  assert.ok(cpuTime() - start < 2_000);
});

const { execPath } = (globalThis as unknown as { Deno: { execPath?: () => string } }).Deno;

interface Child {
  readonly home: string;
  readonly permissions?: string[];
  readonly env?: Record<string, string>;
}

/**
 * Returns what settings() finds or throws in a Deno process with exactly these permissions: first without a terminal,
 * then, if `script` of util-linux is installed, on a terminal, where Deno would prompt.
 */
function inChild({ home, permissions = [], env = {} }: Child): string {
  const deno = execPath!();
  const { denoDir } = JSON.parse(spawnSync(deno, ["info", "--json"], { encoding: "utf8" }).stdout);
  const script = path.join(home, "child.ts");
  fs.writeFileSync(
    script,
    `import ${JSON.stringify(new URL("../mod.ts", import.meta.url).href)};
    import { settings } from ${
      JSON.stringify(new URL("../src/connection/config.ts", import.meta.url).href)
    };
    try { console.log(JSON.stringify(await settings())); }
    catch (error) { console.log((error as Error).message); }`,
  );
  const config = fileURLToPath(new URL("../deno.json", import.meta.url));
  const command = [deno, "run", "--quiet", "--no-check", `--config=${config}`];
  command.push(...permissions, script);

  const environment = { NO_COLOR: "1", DENO_DIR: denoDir, HOME: home, ...env };
  // node:child_process is not used, because a Deno child inherits all of Deno's permissions from it.
  const plain = new Deno.Command(deno, { args: command.slice(1), env: environment }).outputSync();
  assert.equal(new TextDecoder().decode(plain.stderr), "");
  const found = new TextDecoder().decode(plain.stdout).trim();

  if (spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux")) {
    const quoted = command.map((word) => `'${word}'`).join(" ");
    const { error, stdout } = spawnSync("script", ["-qec", quoted, "/dev/null"], {
      encoding: "utf8",
      env: { ...process.env, ...environment },
      input: "",
      timeout: 30_000,
    });
    assert.equal(error, undefined, stdout);
    assert.equal(stdout.trim(), found);
  }
  return found;
}

/** Declares a test of permissions, which only Deno has. */
function testPermissions(name: string, body: (home: string) => void): void {
  test(name, { skip: noDeno }, () =>
    withHome((home) => {
      fs.writeFileSync(path.join(home, ".channelts.yml"), "connection: amqp://u:p@host");
      body(home);
    }));
}

const DEFAULT = '{"uri":"memory:","source":"default"}';

testPermissions("without any permission settings() neither prompts nor fails", (home) => {
  const env = { CHANNELTS_URI: "amqp://variable", CHANNELTS_CONFIG: "/nowhere" };
  assert.equal(inChild({ home, env }), DEFAULT);
});

testPermissions("denied permissions are treated as missing ones", (home) => {
  const permissions = ["--allow-env", "--deny-env=CHANNELTS_URI", "--allow-read", "--deny-read"];
  assert.equal(inChild({ home, permissions, env: { CHANNELTS_URI: "amqp://x" } }), DEFAULT);
});

testPermissions("CHANNELTS_URI is used if only this variable is granted", (home) => {
  const permissions = ["--allow-env=CHANNELTS_URI"];
  const found = inChild({ home, permissions, env: { CHANNELTS_URI: "amqp://variable" } });
  assert.equal(found, '{"uri":"amqp://variable","source":"CHANNELTS_URI"}');
});

testPermissions(
  "with the environment but no file granted, the default files are skipped",
  (home) => {
    assert.equal(inChild({ home, permissions: ["--allow-env"] }), DEFAULT);
  },
);

testPermissions(
  "a file that CHANNELTS_CONFIG names and that is not granted is an error",
  (home) => {
    const file = path.join(home, ".channelts.yml");
    const found = inChild({ home, permissions: ["--allow-env"], env: { CHANNELTS_CONFIG: file } });
    assert.equal(
      found,
      `CHANNELTS_CONFIG: the file ${file} cannot be read: ` +
        `reading it is not granted: allow it with --allow-read=${file}`,
    );
  },
);

testPermissions("the file is used if only HOME and this file are granted", (home) => {
  const file = path.join(home, ".channelts.yml");
  const permissions = ["--allow-env=HOME", `--allow-read=${file}`];
  const expected = { uri: "amqp://u:p@host", source: file, line: 1 };
  assert.deepEqual(JSON.parse(inChild({ home, permissions })), expected);
});

testPermissions("the home directory comes from the system if HOME is not granted", (home) => {
  const permissions = ["--allow-sys=homedir", `--allow-read=${home}`];
  const { source } = JSON.parse(inChild({ home, permissions }));
  assert.equal(source, path.join(home, ".channelts.yml"));
});

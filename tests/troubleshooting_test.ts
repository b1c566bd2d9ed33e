/** docs/troubleshooting.md has every message of the library: a text of src/ that a user can meet is quoted there. */
import { deepEqual, ok } from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, Channel, Connection, registerTransport, select } from "../mod.ts";
import { within as inTime } from "./conformance/fixture.ts";
import { type Literal, literalsOf } from "./support/literals.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

const page = read("docs/troubleshooting.md");

const oneLine = (text: string) => text.replaceAll(/\s+/g, " ");

/** The texts between backticks on the page. */
const quoted = [...page.matchAll(/`([^`]+)`/g)].map(([, text]) => oneLine(text!));

/** Returns the errors in a file of the program, whose other texts are its help and what it prints. */
function errorsOf(source: string): string {
  const errors = /\bnew (?:Cli|Usage|OutputClosed)Error\(.*?\);\n/gs;
  return [...source.matchAll(errors)].map(([text]) => text).join("\n");
}

/** Returns a file without the descriptions of metrics, which are no errors. */
function withoutDescriptions(source: string): string {
  return source.replaceAll(/\bdescription: "[^"]*"/g, "");
}

interface Text extends Literal {
  readonly file: string;
}

/** Files whose texts are scripts in Lua, or findings of the command doctor, which have their cures with them. */
const findings = /\/inspect(?:or|ion)?\b|\/redis\/scripts\//;

const files = globSync("src/**/*.ts", { cwd: root.pathname }).sort();
const texts: Text[] = files.filter((file) => !findings.test(file)).flatMap((file) =>
  literalsOf(file.startsWith("src/cli/") ? errorsOf(read(file)) : withoutDescriptions(read(file)))
    .map((literal) => ({ file, ...literal }))
);

/** Texts that are no message. */
const codeOrSql: readonly RegExp[] = [
  /^(?:\0|new [A-Z]\w+|\w+)\(.*\)|^new [A-Z]\w+$|^\{ .* \}$/, // an example in an error
  /^\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|BEGIN|WITH|REPLACE)\b|^id, /,
  /^[A-Z]{2,8}(?: \0+)+(?: \{.*\})?$/, // a frame of the protocol of homes
];

/** Texts that no user meets. */
const unseen: ReadonlySet<string> = new Set([
  // Names of states and of steps.
  ...["not ready", "nothing comes", "values come", "nothing waits", "values wait"],
  ...["marker found", "marker forbidden", "marker busy", "probe marker", "probe lifetime"],
  ...["queue missing", "queue forbidden", "queue differs", "report missing"],
  ...["exchange missing", "exchange forbidden", "exchange differs", "processes are present"],
  ...["\0 forbidden", "\0 missing", "\0 differs"],
  // Reasons for the library's own signals and promises.
  ...["no operation waits for the attachment any more", "a connection is still pending", "not yet"],
  ...["the iteration was left", "no request waits for a reply", "no channel is attached"],
  ...["another node has answered"],
  ...["the AMQP channel was replaced"],
  // Texts of the AMQP client and the broker, by which their errors are recognized.
  ...["text of a closed channel", "text of a closed connection", "text of a rejected message"],
  ...["message size \0 is larger than max size \0", "connection closed", "Message rejected"],
  // A name of a lock, and an entry of a sorted set.
  ...["channelts \0", ">\0 0 "],
  // Answers of HTTP, whose texts are apart.
  "HTTP/1.1 \0 RefusedrnConnection: closernContent-Type: text/plainrnContent-Length: \0rnrn\0",
  "HTTP/1.1 404 Not FoundrnConnection: closernContent-Length: 0rnrn",
  // Errors that tests alone meet, because they mean a fault of the library.
  ...["a statement is not prepared"],
  "capacity 0: \0 messages waited and \0 were added, but only \0 were taken",
  // A constant of which keys are made.
  "channelts home",
  // Parts of errors, and a reason for a signal.
  ...["values that are held or waited for", "the peer has closed the link"],
  // Parts of paths, and of types.
  ...["Application Support", "[object Error]"],
]);

/**
 * Returns a regular expression for an entry that contains a text, whatever is inserted into the text. The name of the
 * operation takes the place of `connect:` and `attach:`.
 */
function within(text: string): RegExp {
  const parts = text.replace(/^(?:connect|attach): /, "").trim().replaceAll(/\s+/g, " ").split(
    "\0",
  );
  return new RegExp(parts.map((part) => part.replaceAll(/[^\w\s]/g, "\\$&")).join(".*?"));
}

/** Texts of several words, except code and texts that no user meets. */
const messages = texts.filter(({ text }) =>
  /[a-z]\S* \S|\0 +\w/i.test(text) && !unseen.has(text) &&
  !codeOrSql.some((pattern) => pattern.test(text))
);

Deno.test("troubleshooting: every message of src/ has an entry", () => {
  ok(messages.length > 300, `${messages.length} messages`);
  const missing = messages.filter(({ text }) => !quoted.some((entry) => within(text).test(entry)));
  const list = missing.map(({ file, line, text }) => `${file}:${line}: ${JSON.stringify(text)}`);
  ok(missing.length === 0, `docs/troubleshooting.md lacks\n${list.join("\n")}`);
});

Deno.test("troubleshooting: every entry is a message of src/, and nothing is excepted in vain", () => {
  const known = texts.filter(({ text }) => text.replaceAll(/\0|\W+/g, "").length > 6)
    .map(({ text }) => within(text));
  const entries = [...page.matchAll(/^ *- `([^`]+)`/gm)].map(([, text]) => oneLine(text!));
  ok(entries.length > 150, `${entries.length} entries`);
  deepEqual(entries.filter((entry) => !known.some((pattern) => pattern.test(entry))), []);
  const all = new Set(texts.map(({ text }) => text));
  deepEqual([...unseen].filter((text) => !all.has(text)), []);
});

/**
 * Returns a regular expression for the messages of an entry, which begin with the operation. Words in capitals stand
 * for anything.
 */
function patternOf(entry: string): RegExp {
  const words = entry.replaceAll(/[^\w\s]/g, "\\$&")
    .replaceAll(/\b(?!NUL|PEM|YAML|JSON|UTF|TLS|AMQP|CHANNELTS)[A-Z]{2,}\b/g, ".+?")
    .replaceAll(/\bN\b/g, "[\\d.,]+").replaceAll("\\…", ".*");
  return new RegExp(`^(?:[\\w ]+: )?${words}`);
}

const memory = () => new Channel<unknown>({ connection: "memory:" });
// deno-lint-ignore no-explicit-any -- the arguments are wrong on purpose
const wrong = (value: unknown) => value as any;

/** Mistakes and failures that need no broker. */
const mistakes: Readonly<Record<string, () => unknown>> = {
  "an option that is misspelt": () => new Channel(wrong({ nam: "jobs" })),
  "a text for milliseconds": () => after(wrong("1")),
  "an option of another type": () => memory().get({ timeout: wrong("1") }),
  "a negative timeout": () => memory().get({ timeout: -1 }),
  "a number for options": () => memory().get(wrong(1000)),
  "too many arguments": () => (memory().put as (...args: unknown[]) => unknown)(1, {}, 2),
  "a name that is undefined": () => new Channel(wrong(undefined)),
  "the option name, undefined": () => new Channel(wrong({ name: undefined })),
  "the option connection, undefined": () => new Channel(wrong({ connection: undefined })),
  "a channel for a name": () => new Channel(wrong(memory())),
  "a URI for a name": () => new Channel("amqp://localhost"),
  "a reserved name": () => new Channel("amq.jobs"),
  "an empty name": () => new Channel(""),
  "a long name": () => new Channel("x".repeat(256)),
  "a scheme that is misspelt": () => new Channel({ connection: "ampq://localhost" }),
  "a URI without a scheme": () => new Channel({ connection: "somewhere else" }),
  "a bad port": () => new Channel({ connection: "amqp://localhost:x" }),
  "a parameter of no meaning": () => new Channel({ connection: "amqp://localhost?x=1" }),
  "a bad heartbeat": () => new Channel({ connection: "amqp://localhost?heartbeat=x" }),
  "two segments for a vhost": () => new Channel({ connection: "amqp://localhost/a/b" }),
  "a host for a file": () => new Channel({ connection: "sqlite://host/path" }),
  "SQLite's name for memory": () => new Channel({ connection: "sqlite::memory:" }),
  "a directory that does not exist": () =>
    new Channel({ connection: "sqlite:/no/such/folder/jobs.db" }).depth(),
  "a directory": () => new Channel({ connection: `sqlite:${tmpdir()}` }).depth(),
  "a certificate without TLS": () => new Connection("amqp://localhost", { ca: "" }),
  "expires before delay": () => memory().put(1, { delay: 2, expires: 1 }),
  "capacity 0 on RabbitMQ": () =>
    new Channel({ connection: "amqp://127.0.0.1:1", capacity: 0 }).put(1),
  "no broker": () => new Channel({ connection: "amqp://127.0.0.1:1", retryTimeout: 0 }).put(1),
  "no broker within the timeout": () =>
    new Channel({ connection: "amqp://127.0.0.1:1" }).get({ timeout: 50 }),
  "an empty channel": () => memory().get({ timeout: 0 }),
  "a full channel": async () => {
    const ch = memory().clone({ capacity: 1 });
    await ch.put(1);
    await ch.put(2, { timeout: 1 });
  },
  "a channel that does not become empty": async () => {
    const ch = memory();
    await ch.put(1);
    await ch.whenEmpty({ timeout: 1 });
  },
  "no server": () => memory().request(1, { timeout: 1 }),
  "no case that is ready": () => select([memory()], { timeout: 1 }),
  "no case": () => select([]),
  "a channel for the cases": () => select(wrong(memory())),
  "no case of a select": () => select([wrong(7)]),
  "a closed handle": async () => {
    const ch = memory();
    await ch.close();
    await ch.get();
  },
  "a closed channel": async () => {
    const ch = memory();
    const got = ch.get();
    await ch.closeAll();
    await got;
  },
  "a drained channel": async () => {
    const ch = memory();
    await ch.closeAll({ drain: true });
    await ch.put(1);
  },
  "a deleted channel": async () => {
    const ch = memory();
    const got = ch.get();
    await ch.delete();
    await got;
  },
  "a function in a value": () => memory().put({ callbacks: [() => {}] }),
  "a Blob": () => memory().put({ file: new Blob([]) }),
  "undefined in JSON": () => memory().clone({ encoding: "json" }).put({ a: undefined }),
  "a Date in JSON": () => memory().clone({ encoding: "json" }).put([new Date()]),
  "a channel that reaches less far": () =>
    new Channel<unknown>({ connection: "amqp://127.0.0.1:1" }).put(memory()),
  "a channel in JSON.stringify": () => JSON.stringify(memory()),
  "a scheme that is taken": () =>
    registerTransport("amqp:", { reach: "network", parse: wrong(() => {}), load: wrong(() => {}) }),
};

for (const [title, make] of Object.entries(mistakes)) {
  Deno.test({
    name: `troubleshooting: the message of ${title} is an entry`,
    // The channels are left to themselves.
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      const error = await inTime(Promise.resolve().then(make)).catch((error) => error);
      ok(error instanceof Error, `it caused no error: ${error}`);
      const { message } = error;
      ok(quoted.some((entry) => entry.length > 20 && patternOf(entry).test(message)), message);
    },
  });
}

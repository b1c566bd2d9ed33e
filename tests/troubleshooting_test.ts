/** docs/troubleshooting.md has every message of the library: a text of src/ that a user can meet is quoted there. */
import { deepEqual, ok } from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { type Literal, literalsOf } from "./support/literals.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

const page = read("docs/troubleshooting.md");

const oneLine = (text: string) => text.replaceAll(/\s+/g, " ");

/** The texts between backticks on the page. */
const quoted = [...page.matchAll(/`([^`]+)`/g)].map(([, text]) => oneLine(text!));

interface Text extends Literal {
  readonly file: string;
}

const texts: Text[] = globSync("src/**/*.ts", { cwd: root.pathname }).sort().flatMap((file) =>
  literalsOf(read(file)).map((literal) => ({ file, ...literal }))
);

/** Texts that are no message. */
const codeOrSql: readonly RegExp[] = [
  /^(?:\0|new [A-Z]\w+|\w+)\(.*\)|^new [A-Z]\w+$|^\{ .* \}$/, // an example in an error
  /^\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|BEGIN|WITH|REPLACE)\b|^id, /,
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
  ...["the AMQP channel was replaced"],
  // Texts of the AMQP client and the broker, by which their errors are recognized.
  ...["text of a closed channel", "text of a closed connection", "text of a rejected message"],
  ...["message size \0 is larger than max size \0", "connection closed", "Message rejected"],
  // Errors that tests alone meet, because they mean a fault of the library.
  ...["a statement is not prepared"],
  "capacity 0: \0 messages waited and \0 were added, but only \0 were taken",
  // Parts of paths, and of types.
  ...["Application Support", "[object Error]"],
]);

/** Returns a regular expression for an entry that contains a text, whatever is inserted into the text. */
function within(text: string): RegExp {
  const parts = text.trim().replaceAll(/\s+/g, " ").split("\0");
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

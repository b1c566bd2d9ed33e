import type { Node } from "yaml";
import type { Settings } from "./settings.ts";
import { ChannelConfigError } from "../shared/errors.ts";
import { withEmptyEnv } from "../shared/host.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { nearest } from "../shared/spelling.ts";
import { hasScheme } from "./schemes.ts";

type Yaml = typeof import("yaml");

interface Field {
  readonly key: string;
  readonly line: number;
  /** A string, number, boolean or null; undefined for any other node. */
  readonly value: unknown;
  /** Undefined for a field that was not written as YAML. */
  readonly node?: Node | null;
}

/** ChannelPy's only connection class, and the URI that it connects to by default. */
const CLASS = "RabbitConnection";
const CLASS_DEFAULT = "amqp://127.0.0.1:5672";

const URI_OR_CLASS = `a URI such as amqp://host:5672, or ${CLASS}`;
const SECONDS = "a number of seconds, 0 or more";
const KEYS = ["connection", "arguments", "retry_timeout", "poll_frequency"];

/**
 * Parses the text of a configuration file. The YAML library is loaded at the first call.
 *
 * @throws {ChannelConfigError} if the file is invalid; it names the file, the line, the key, what was found and what is
 * expected, without credentials
 */
export async function parseConfigFile(path: string, text: string): Promise<Settings> {
  let yaml: Yaml;
  try {
    yaml = await import("yaml");
  } catch (cause) {
    throw new ChannelConfigError(
      `the configuration file ${path} cannot be read: the package yaml cannot be loaded (${
        String(cause)
      })`,
      { cause },
    );
  }
  return new ConfigFile(yaml, path, text).settings();
}

class ConfigFile {
  readonly #yaml: Yaml;
  readonly #path: string;
  readonly #lines: InstanceType<Yaml["LineCounter"]>;
  readonly #fields: Map<string, Field>;

  constructor(yaml: Yaml, path: string, text: string) {
    this.#yaml = yaml;
    this.#path = path;
    this.#lines = new yaml.LineCounter();
    const repaired = repair(text);
    this.#fields = this.#mapping(this.#parse(repaired.text), KEYS, repaired.connection);
  }

  settings(): Settings {
    const connection = this.#fields.get("connection");
    if (connection === undefined) {
      this.#fail(1, undefined, "no key connection", `connection: ${URI_OR_CLASS}`);
    }
    const { uri, line } = this.#uri(connection, this.#fields.get("arguments"));
    const retryTimeout = this.#milliseconds(this.#fields.get("retry_timeout"));
    return {
      uri,
      source: this.#path,
      line,
      ...(retryTimeout === undefined ? {} : { retryTimeout }),
    };
  }

  #parse(text: string): Node | null {
    let document;
    try {
      // This class reports duplicate keys. The log level makes the parser report a second document.
      document = withEmptyEnv(() =>
        this.#yaml.parseDocument(text, {
          lineCounter: this.#lines,
          prettyErrors: false,
          uniqueKeys: false,
          logLevel: "error",
        })
      );
    } catch {
      this.#fail(1, undefined, "YAML that is nested too deeply", "a mapping");
    }
    const error = document.errors[0] ?? document.warnings[0];
    if (error !== undefined) {
      // The text after the colon quotes the file, which may contain a password.
      const message = error.message.replace(/(?<=\S): .*/s, "");
      this.#fail(
        this.#lines.linePos(error.pos[0]).line,
        undefined,
        `a YAML syntax error (${message})`,
        "valid YAML",
      );
    }
    return document.contents;
  }

  /** Returns the fields of a mapping by key. @param given a field that was read already */
  #mapping(node: Node | null, keys: string[], given?: Field, parent?: Field): Map<string, Field> {
    const { isMap, isScalar } = this.#yaml;
    const line = this.#line(node, parent?.line ?? 1);
    if (!isMap(node)) {
      const shape = `a mapping with the key ${keys[0]}`;
      this.#fail(line, parent?.key, this.#describe(node), shape);
    }
    const fields = new Map<string, Field>(given === undefined ? [] : [[given.key, given]]);
    for (const pair of node.items) {
      const keyLine = this.#line(pair.key as Node | null, line);
      const expected = keys.length === 1 ? keys[0]! : `one of ${keys.join(", ")}`;
      if (!isScalar(pair.key) || typeof pair.key.value !== "string") {
        this.#fail(keyLine, parent?.key, "a key that is not a string", expected);
      }
      const key = pair.key.value;
      if (!keys.includes(key)) {
        this.#fail(keyLine, this.#show(key), "an unknown key", expected + hint(key, keys));
      }
      const earlier = fields.get(key);
      if (earlier !== undefined) {
        this.#fail(keyLine, key, "the key a second time", `it once (line ${earlier.line} has it)`);
      }
      const value = pair.value as Node | null;
      fields.set(key, {
        key,
        line: this.#line(value, keyLine),
        value: isScalar(value) ? value.value : value === null ? null : undefined,
        node: value,
      });
    }
    return fields;
  }

  #uri(
    connection: Field,
    args: Field | undefined,
  ): { readonly uri: string; readonly line: number } {
    const { value, line } = connection;
    if (typeof value !== "string" || (value !== CLASS && !hasScheme(value))) {
      this.#failField(connection, URI_OR_CLASS + hint(String(value), [CLASS]));
    }
    if (value !== CLASS) {
      if (args === undefined) return { uri: value, line };
      this.#fail(args.line, "arguments", "arguments beside a URI", `them with ${CLASS} only`);
    }
    const byDefault = { uri: CLASS_DEFAULT, line };
    if (args === undefined) return byDefault;
    const uri = this.#mapping(args.node ?? null, ["uri"], undefined, args).get("uri");
    if (uri === undefined) return byDefault;
    if (typeof uri.value === "string" && hasScheme(uri.value)) {
      return { uri: uri.value, line: uri.line };
    }
    this.#failField(uri, "a URI such as amqp://host:5672");
  }

  #milliseconds(field: Field | undefined): number | undefined {
    if (field === undefined) return undefined;
    const { value } = field;
    if (typeof value === "number" && value >= 0 && Number.isFinite(value)) return value * 1000;
    this.#failField(field, SECONDS);
  }

  #line(node: Node | null, otherwise: number): number {
    return node?.range ? this.#lines.linePos(node.range[0]).line : otherwise;
  }

  #describe(node: Node | null): string {
    if (node === null) return "nothing";
    if (this.#yaml.isMap(node)) return "a mapping";
    if (this.#yaml.isSeq(node)) return "a list";
    if (!this.#yaml.isScalar(node)) return "an alias";
    const { value } = node;
    if (value === null) return "nothing";
    return typeof value === "string" ? this.#show(value) : String(value);
  }

  #show(text: string): string {
    const shown = withoutCredentials(text);
    return JSON.stringify(shown.length > 80 ? `${shown.slice(0, 80)}…` : shown);
  }

  #failField(field: Field, expected: string): never {
    const { key, line, value, node } = field;
    const found = node === undefined ? this.#show(String(value)) : this.#describe(node);
    this.#fail(line, key, found, expected);
  }

  #fail(line: number, key: string | undefined, found: string, expected: string): never {
    const where = key === undefined ? `${this.#path}:${line}` : `${this.#path}:${line}: ${key}`;
    throw new ChannelConfigError(
      `the configuration ${where}: found ${found}, expected ${expected}`,
    );
  }
}

/**
 * Turns two common forms that are not valid YAML into YAML, line for line: `connection: memory:`, and the arguments as a
 * mapping below `connection: RabbitConnection`, as ChannelPy's README has it.
 */
function repair(text: string): { readonly text: string; readonly connection?: Field } {
  const lines = text.split("\n");
  for (const [i, line] of lines.entries()) {
    if (/^connection:[ \t]+memory:[ \t]*(?:[ \t]#.*)?\r?$/.test(line)) {
      return { text: lines.with(i, 'connection: "memory:"').join("\n") };
    }
    const value = /^connection:[ \t]+(\w+)[ \t]*(?:[ \t]#.*)?\r?$/.exec(line)?.[1];
    const next = lines.slice(i + 1).find((below) => /^\s*[^\s#]/.test(below));
    if (value === undefined || !/^[ \t]+[^\s:]+:(?:\s|$)/.test(next ?? "")) continue;
    const connection = { key: "connection", line: i + 1, value };
    return { text: lines.with(i, "arguments:").join("\n"), connection };
  }
  return { text };
}

/** Returns "(did you mean …?)" for the candidate that is most similar to a text; empty if none is. */
function hint(text: string, candidates: string[]): string {
  const near = nearest(text, candidates);
  return near === undefined ? "" : ` (did you mean ${near}?)`;
}

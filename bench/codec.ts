// deno-lint-ignore-file no-console
/**
 * Compares the codec with others on the runtime that runs this: `deno run -A bench/codec.ts`, `node bench/codec.ts`,
 * `bun bench/codec.ts`. `--quick` measures only JSON and the codec, in a few seconds; `--other=FILE` adds another
 * version of `src/encoding/cbor/mod.ts`; other arguments select payloads.
 */
import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { cpus } from "node:os";
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import v8 from "node:v8";
import { Encoder } from "cbor-x/index-no-eval";
import { Packr } from "msgpackr/index-no-eval";
import { decode, encode } from "../src/encoding/cbor/mod.ts";
import { compare, type Figure } from "./compare.ts";
import { runtime } from "./output.ts";
import { type Payload, payloads } from "./payloads.ts";

/** Encodes values to bytes and decodes them. */
interface Codec {
  readonly label: string;
  readonly encode: (value: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** How long each contender is measured, and how often. */
interface Effort {
  readonly ms: number;
  readonly rounds: number;
}

const THOROUGH: Effort = { ms: 4, rounds: 45 };
const QUICK: Effort = { ms: 3, rounds: 31 };

/** How long each contender warms up: Bun's last compiler starts late. */
const WARM_UP_MS = 150;

const utf8 = new TextEncoder();
const text = new TextDecoder();
const json: Codec = {
  label: "JSON",
  encode: (value) => utf8.encode(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(text.decode(bytes)),
};

const v8Codec: Codec = { label: "node:v8", encode: v8.serialize, decode: v8.deserialize };

/**
 * Messages are owned, as for a transport that gives them away: bytes need no copy, which the other codecs never make.
 */
const owned = { owned: true };

const ours: Codec = { label: "ChannelTS", encode, decode: (bytes) => decode(bytes, owned) };

/**
 * Both libraries are used without `new Function`, which works everywhere, without native addons, with one instance for
 * all values, and with self-contained messages (no records defined before). They do not detect shared objects and
 * cycles, which the codec does.
 */
const cborX = new Encoder({ useRecords: false, mapsAsObjects: true });
const msgpackr = new Packr({ useRecords: false, mapsAsObjects: true });

/** msgpackr distinguishes a Map from an object only if it writes objects as records. */
const msgpackrRecords = new Packr({ useRecords: true, moreTypes: true });

function codecsFor({ beyondJson, needsMoreTypes }: Payload): Codec[] {
  const packr = needsMoreTypes ? msgpackrRecords : msgpackr;
  return [
    beyondJson ? v8Codec : json,
    ours,
    {
      label: "cbor-x",
      encode: (value) => cborX.encode(value),
      decode: (bytes) => cborX.decode(bytes as Buffer),
    },
    {
      label: "msgpackr",
      encode: (value) => packr.pack(value),
      decode: (bytes) => packr.unpack(bytes as Buffer),
    },
    ...(beyondJson ? [] : [v8Codec]),
  ];
}

const operations: Record<string, (codec: Codec, payload: Payload) => (count: number) => void> = {
  encode: ({ encode }, { values }) => (count) => {
    for (let i = 0, turn = 0; i < count; i++) {
      kept = encode(values[turn]);
      if (++turn === values.length) turn = 0;
    }
  },
  decode: ({ encode, decode }, { values }) => {
    const messages = values.map((value) => encode(value).slice());
    return (count) => {
      for (let i = 0, turn = 0; i < count; i++) {
        kept = decode(messages[turn]!);
        if (++turn === values.length) turn = 0;
      }
    };
  },
  both: ({ encode, decode }, { values }) => (count) => {
    for (let i = 0, turn = 0; i < count; i++) {
      kept = decode(encode(values[turn]));
      if (++turn === values.length) turn = 0;
    }
  },
};

/** Results are stored here, so that no engine considers them unused. */
export let kept: unknown;

/** Prints a comparison of the codec with others: everything, or what the arguments select. */
export async function benchCodec(args: readonly string[] = []): Promise<void> {
  const quick = args.includes("--quick");
  const other = await otherCodec(args.find((arg) => arg.startsWith("--other="))?.slice(8));
  const names = args.filter((arg) => !arg.startsWith("--"));
  const { ms, rounds } = quick ? QUICK : THOROUGH;
  const rows = (names.length > 0 ? names : Object.keys(payloads)).map((name) => {
    const payload = payloads[name];
    if (payload === undefined) {
      throw new Error(`no payload ${name}; there are ${Object.keys(payloads).join(", ")}`);
    }
    const all = codecsFor(payload);
    const codecs = quick ? [all[0]!, ours] : all;
    if (other) codecs.splice(codecs.indexOf(ours), 0, other);
    for (const { label, encode, decode } of codecs) {
      for (const value of payload.values) {
        const copy = decode(encode(value).slice());
        const fault: string = `${label} changes a value: ${payload.label}`;
        // Bytes may be decoded as a Buffer.
        assert.deepEqual(copy instanceof Uint8Array ? new Uint8Array(copy) : copy, value, fault);
      }
    }
    return { payload, codecs };
  });
  console.log(`\n${runtime()}, ${cpus().length} × ${cpus()[0]?.model ?? "CPU"}`);
  console.log("time as a multiple of the first column's: median (middle half) of the rounds");
  // Everything is warmed up before it is measured: each codec has seen every kind of value, as in a program.
  const jobs = rows.flatMap(({ payload, codecs }) =>
    Object.entries(operations).map(([operation, make]) => {
      const runs = codecs.map((codec) => ({ label: codec.label, run: make(codec, payload) }));
      return { payload, operation, runs, count: calibrate(runs[0]!.run, ms) };
    })
  );
  for (const { runs, count } of jobs) {
    for (const { run } of runs) {
      const end = performance.now() + WARM_UP_MS;
      while (performance.now() < end) run(count);
    }
  }
  let heading = "";
  for (const { payload, operation, runs, count } of jobs) {
    const figures = await compare(
      runs.map(({ label, run }) => ({ label, run: (n) => Promise.resolve(run(n)) })),
      { count, rounds },
    );
    const labels = figures.slice(1).map(({ label }) => label.padStart(20)).join("");
    const columns = `${"".padEnd(28)}${figures[0]!.label.padStart(12)}${labels}`;
    if (columns !== heading) console.log(`\n${heading = columns}`);
    const first = `${(1e6 / figures[0]!.rate).toFixed(2)} µs`;
    const others = figures.slice(1).map((figure) => show(figure).padStart(20)).join("");
    const name = operation === "encode" ? payload.label : "";
    console.log(`${name.padEnd(20)}${operation.padEnd(8)}${first.padStart(12)}${others}`);
  }
}

async function otherCodec(file: string | undefined): Promise<Codec | undefined> {
  if (file === undefined) return undefined;
  const { encode, decode } = await import(pathToFileURL(resolve(file)).href);
  return { label: "the other", encode, decode: (bytes) => decode(bytes, owned) };
}

/** Returns how often a warm job can run in `ms` milliseconds. */
function calibrate(run: (count: number) => void, ms: number): number {
  for (let count = 1;; count *= 2) {
    const start = performance.now();
    run(count);
    const took = performance.now() - start;
    if (took > ms) return Math.max(1, Math.round(count * ms / took));
  }
}

/** Prints a ratio of rates as a ratio of times. */
function show({ ratio: [median], half: [lower, upper] }: Figure): string {
  return `${short(1 / median)} (${short(1 / upper)}–${short(1 / lower)})`;
}

function short(multiple: number): string {
  return multiple.toFixed(multiple < 10 ? 2 : multiple < 100 ? 1 : 0);
}

if (import.meta.main) await benchCodec(process.argv.slice(2));

// The servers on which the tests of Redis run. Each test starts its own servers (`redis.ts`), so a server is here no more than
// the variables that name it.

import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import type { Brokers, Further } from "./broker.ts";
import { unpackPrograms } from "./debian.ts";
import { findRedis, givenPrograms, type RedisProgram } from "./redis.ts";
import { usesAnyRedis, usesRedis } from "./test_files.ts";

/** A server besides the first one, or a cluster. */
export interface FurtherRedis extends Further<RedisSupply> {
  /** Reports whether the tests of a file use it. */
  readonly isUsedBy: (file: string) => boolean;
}

/** The variables of a server. */
export interface RedisSupply {
  /** What the output calls it: `Redis 8.0.2`. */
  readonly title: string;
  /** The variables of the tests that run on it. */
  readonly env: Readonly<Record<string, string>>;
}

/** Debian's: the name, with the beginning of the version, and the program of a suite. */
const DEBIAN = [
  { name: "Redis 7.0", suite: "bookworm", program: "redis-server" },
  { name: "Redis 8.0", suite: "trixie", program: "redis-server" },
  { name: "Valkey 8.1", suite: "trixie", program: "valkey-server" },
] as const;

/** The packages of a suite. */
const PACKAGES = { bookworm: ["redis-server"], trixie: ["redis-server", "valkey-server"] };

/**
 * Finds further servers besides the one of `findRedis`: the others that `TEST_REDIS` names; else, unless a server is given,
 * those of Debian bookworm and trixie that have another version, which are fetched; and, as a cluster of one node, the first
 * one, or with `all` each of them. Tests that share the cases of a suite find their part in `TEST_REDIS_PART`.
 */
export async function findFurtherRedis(
  which: Brokers,
  signal?: AbortSignal,
): Promise<FurtherRedis[]> {
  if (which === "one" || process.env.REDIS) return [];
  const [given, ...others] = givenPrograms();
  let first: RedisProgram;
  let version: string;
  try {
    first = await findRedis();
    version = await versionOf(first);
  } catch (error) {
    const ready = Promise.reject(error);
    ready.catch(() => {}); // the caller that needs it gets the error
    return [{ title: "a further Redis", ready, isUsedBy: usesRedis }];
  }
  const folders: Partial<Record<keyof typeof PACKAGES, Promise<string>>> = {};
  const programs = given !== undefined
    ? others.map((command) => ({
      title: `the server ${command}`,
      program: Promise.resolve({ command, libraries: "" }),
    }))
    : DEBIAN.filter(({ name }) => !version.startsWith(`${name}.`)).map(
      ({ name, program, suite }) => {
        folders[suite] ??= unpackPrograms(suite, `redis-${suite}`, PACKAGES[suite], signal);
        return {
          title: `the ${name} of Debian ${suite}`,
          program: folders[suite].then((bin) => ({ command: join(bin, program), libraries: "" })),
        };
      },
    );
  const clusters = [
    { title: `a cluster of one ${version}`, program: Promise.resolve(first) },
    ...which === "all"
      ? programs.map((one) => ({ ...one, title: `a cluster of ${one.title}` }))
      : [],
  ];
  const all = [
    ...programs.map((one) => ({ ...one, nodes: "" })),
    ...clusters.map((one) => ({ ...one, nodes: "1" })),
  ];
  return all.map(({ title, program, nodes }, i) => {
    const ready = program.then(async (program): Promise<RedisSupply> => ({
      title: `${nodes === "" ? "" : "a cluster of one "}${await versionOf(program)}`,
      env: {
        TEST_REDIS: program.command,
        TEST_REDIS_LIBRARIES: program.libraries,
        TEST_REDIS_NODES: nodes,
        TEST_REDIS_PART: `${i}/${all.length}`,
      },
    }));
    ready.catch(() => {}); // the caller that needs it gets the error
    return { title, ready, isUsedBy: nodes === "" ? usesRedis : usesAnyRedis };
  });
}

/** Returns a program's name and version: `Redis 8.0.2`. @throws if it is no such program */
async function versionOf({ command, libraries }: RedisProgram): Promise<string> {
  const env = { ...process.env, ...libraries === "" ? {} : { LD_LIBRARY_PATH: libraries } };
  const { stdout } = await promisify(execFile)(command, ["--version"], { env });
  const [, name, version] = /^(\w+) server v=(\S+)/.exec(stdout) ?? [];
  if (version === undefined) throw new Error(`${command} is no Redis: ${stdout.slice(0, 200)}`);
  return `${name} ${version}`;
}

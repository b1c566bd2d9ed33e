import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { unpackPackage } from "./debian.ts";

/** A Python that has pyzmq. */
export interface Pyzmq {
  readonly python: string;
  /** The environment to run it with. */
  readonly env: Record<string, string>;
  /** The versions of pyzmq and libzmq. */
  readonly version: string;
}

const noPyzmq = "pyzmq is not installed, and Debian's python3-zmq cannot be fetched";

/** Finds a Python that has pyzmq, or fetches Debian's. Returns the reason if there is none. */
async function findPyzmq(): Promise<Pyzmq | string> {
  for (const python of ["python3", "/usr/bin/python3"]) {
    const found = tried(python, { ...process.env as Record<string, string> });
    if (found !== undefined) return found;
  }
  try {
    const root = await unpackPackage("python3-zmq");
    const env: Record<string, string> = { ...process.env as Record<string, string> };
    env.PYTHONPATH = join(root, "usr/lib/python3/dist-packages");
    env.LD_LIBRARY_PATH = globSync("{usr/,}lib/*-linux-gnu*", { cwd: root }).map((path) =>
      join(root, path)
    ).join(":");
    return tried("/usr/bin/python3", env) ?? `${noPyzmq}: it does not run`;
  } catch (error) {
    return `${noPyzmq}: ${(error as Error).message}`;
  }
}

function tried(python: string, env: Record<string, string>): Pyzmq | undefined {
  const ask = "import zmq; assert zmq.has('curve'); print(zmq.__version__, zmq.zmq_version())";
  const { status, stdout } = spawnSync(python, ["-c", ask], { env, encoding: "utf8" });
  return status === 0 ? { python, env, version: stdout.trim() } : undefined;
}

const found = await findPyzmq();

/** The Python to use; undefined if there is none. */
export const pyzmq: Pyzmq | undefined = typeof found === "string" ? undefined : found;

/** For tests that need pyzmq: the reason why they cannot run here; false if they can. */
export const withoutPyzmq: string | false = typeof found === "string" && found;

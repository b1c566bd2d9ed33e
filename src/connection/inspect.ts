// What a diagnosis asks of the library: which connection is used and why, and what its URI leads to. No entry of the
// package imports this file but ./cli.

import { env, isGranted, readText } from "../shared/host.ts";
import type { Inspector } from "../transports/inspection.ts";
import { usualFiles } from "./config_search.ts";
import { parseUri } from "./schemes.ts";

export type {
  Finding,
  FindingLevel,
  InspectionOptions,
  Inspector,
} from "../transports/inspection.ts";

/** A place where a connection may be named. */
export interface Source {
  /** A variable, or the path of a file. */
  readonly name: string;
  readonly kind: "variable" | "file";
  /** Why nothing is named there; absent if something is. */
  readonly absent?: string;
}

/** Returns the places where a connection may be named, the first one first. The first that is not absent is used. */
export function sources(): Source[] {
  const file = variable("CHANNELTS_CONFIG");
  const path = file.absent === undefined ? env("CHANNELTS_CONFIG")! : undefined;
  const paths = path === undefined ? usualFiles() : [path];
  return [variable("CHANNELTS_URI"), file, ...paths.map(fileSource)];
}

function variable(name: string): Source {
  const kind = "variable";
  if (!isGranted({ name: "env", variable: name })) {
    return { name, kind, absent: `Deno does not permit to read it (--allow-env=${name})` };
  }
  return env(name) === undefined ? { name, kind, absent: "it is not set" } : { name, kind };
}

function fileSource(path: string): Source {
  const kind = "file";
  // A URI in place of a path may contain a password.
  const name = path.includes("://") ? "the file that CHANNELTS_CONFIG names" : path;
  try {
    const found = readText(path);
    return "absent" in found ? { name, kind, absent: found.absent } : { name, kind };
  } catch {
    return { name, kind }; // it is there, and the settings say what is wrong with it
  }
}

/**
 * Checks a URI, and returns its address, without credentials, and what examines it. The latter is absent for a scheme of
 * the program's own.
 *
 * @throws {ChannelConfigError} if the URI is invalid
 */
export async function inspectorOf(
  uri: string,
): Promise<{ readonly address: string; readonly inspector?: Inspector }> {
  const { parsed: { address } } = parseUri(uri);
  const scheme = address.slice(0, address.indexOf(":") + 1);
  const load = inspectors[scheme];
  return load === undefined ? { address } : { address, inspector: (await load()).inspector };
}

const amqp = () => import("../transports/amqp/inspector.ts");
const redis = () => import("../transports/redis/inspector.ts");
const home = () => import("../transports/home/inspector.ts");

/** What examines the URIs of a scheme. */
const inspectors: Readonly<Record<string, () => Promise<{ readonly inspector: Inspector }>>> = {
  "memory:": () => import("../transports/memory/inspector.ts"),
  "sqlite:": () => import("../transports/sqlite/inspector.ts"),
  "amqp:": amqp,
  "amqps:": amqp,
  "redis:": redis,
  "rediss:": redis,
  "zmq:": home,
  "ws:": home,
  "wss:": home,
};

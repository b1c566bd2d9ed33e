import { dirname } from "node:path";
import process from "node:process";
import { dockerRuns, startContainer } from "./container.ts";
import type { BrokerControl } from "./control.ts";
import { installServer, mayInstall, unpackServer } from "./debian.ts";
import {
  findInstallation,
  givenFolders,
  type Installation,
  installationIn,
  versionOf,
} from "./installation.ts";
import { probe } from "./net.ts";
import { startSharedNode } from "./private_node.ts";

export { freePorts } from "./net.ts";
export {
  type PrivateBroker,
  type PrivateBrokerOptions,
  startPrivateBroker,
} from "./private_node.ts";

/** A RabbitMQ to test against. Disposal removes it if it was started for this run. */
export interface Broker extends AsyncDisposable {
  /** Its address: `amqp://…`. */
  readonly uri: string;
  /** How to query and control it. Absent for a broker that the user gave: that one is never modified. */
  readonly control?: BrokerControl;
  /** Runs rabbitmqctl and resolves with its output. Absent for a broker that the user gave. */
  ctl?(...args: string[]): Promise<string>;
}

/** A RabbitMQ of one version, from which tests start brokers. */
export interface Supply {
  /** Starts a broker, or returns the one that the user gave. */
  start(signal?: AbortSignal): Promise<Broker>;
  /** Variables that tests need to start nodes of the same version. */
  readonly env: Readonly<Record<string, string>>;
  /** The version, of a supply besides the first one. */
  readonly version?: string;
}

/** A server besides the first one. `ready` waits until it has been fetched. */
export interface Further<S> {
  /** Its title in the output. */
  readonly title: string;
  /** Rejects with the reason if the supply is not available. */
  readonly ready: Promise<S>;
}

/** Which RabbitMQs the tests run on: the first one found; also another one; all that are available. */
export type Brokers = "one" | "two" | "all";

/** The variables that tell a test its broker, if it has one, and how to start more nodes of the same version. */
export function variablesOf({ env }: Supply, broker?: Broker): Record<string, string> {
  const { uri = "", control } = broker ?? {};
  return { ...env, BROKER: uri, BROKER_CTL: control ? JSON.stringify(control) : "" };
}

/**
 * Finds the RabbitMQ to test on. The order is: the one in `BROKER`; private nodes of the one that `TEST_RABBITMQ` names
 * or that is installed; containers, if a Docker engine runs; on Debian, as root, the package is installed.
 *
 * @param signal cancels the search
 * @throws if a given broker does not answer, or if no way works
 */
export async function findSupply(signal?: AbortSignal): Promise<Supply> {
  const given = process.env.BROKER;
  if (given) {
    const broker = await givenBroker(given);
    return { start: () => Promise.resolve(broker), env: {} };
  }
  if (!findInstallation()) {
    if (await dockerRuns()) return { start: startContainer, env: {} };
    signal?.throwIfAborted();
    if (!mayInstall()) throw new Error(NO_WAY);
    await installServer(signal);
  }
  const [folder] = givenFolders();
  return { start: startSharedNode, env: folder ? { TEST_RABBITMQ: folder } : {} };
}

/** The suites of Debian that have RabbitMQ 4, the newest version first. */
const SUITES = ["forky", "trixie"];

/**
 * Finds further RabbitMQs besides the first one: the others that `TEST_RABBITMQ` names; else, unless a broker is given,
 * those of newer suites of Debian, which are fetched.
 */
export function findFurther(which: Brokers, signal?: AbortSignal): Further<Supply>[] {
  const [first, ...others] = givenFolders();
  if (which === "one" || process.env.BROKER) return [];
  const further = first !== undefined
    ? others.map((folder) => ({
      title: `the RabbitMQ in ${folder}`,
      ready: Promise.resolve().then(() => supplyOf(installationIn(folder))),
    }))
    : which === "two"
    ? [{ title: "a RabbitMQ 4", ready: fetchOne(SUITES, signal) }]
    : SUITES.map((suite) => ({
      title: `the RabbitMQ of Debian ${suite}`,
      ready: fetchOne([suite], signal),
    }));
  for (const { ready } of further) ready.catch(() => {}); // the caller that needs it gets the error
  return further;
}

/** Fetches the RabbitMQ of the first suite that is available and has another version than the installed one. */
async function fetchOne(suites: readonly string[], signal?: AbortSignal): Promise<Supply> {
  const own = findInstallation();
  const reasons: string[] = [];
  for (const suite of suites) {
    try {
      const installation = await unpackServer(suite, signal);
      const version = versionOf(installation);
      if (!own || version !== versionOf(own)) return supplyOf(installation);
      reasons.push(`Debian ${suite} has ${version}, as this machine has`);
    } catch (error) {
      signal?.throwIfAborted();
      const { message } = error as Error;
      if (!reasons.includes(message)) reasons.push(message);
    }
  }
  throw new Error(reasons.join("; "));
}

function supplyOf(installation: Installation): Supply {
  const version = versionOf(installation);
  return {
    ...version === undefined ? {} : { version },
    start: (signal) => startSharedNode(signal, installation),
    env: { TEST_RABBITMQ: dirname(installation.server) },
  };
}

const NO_WAY = `no RabbitMQ to test against. Do one of these:
  - name a running broker:            BROKER=amqp://localhost:5672 deno task test
  - install RabbitMQ:                 apt-get install rabbitmq-server, or brew install rabbitmq
                                      (the tests start a private node; no service needs to run)
  - start Docker:                     the tests start a container of rabbitmq:4.3-management
  - run the tests as root on Debian:  they install the package themselves`;

async function givenBroker(uri: string): Promise<Broker> {
  // Messages contain only the host and port, never the password.
  let url: URL;
  try {
    url = new URL(uri);
  } catch {
    throw new Error("BROKER is not a URI; expected amqp://[user:password@]host[:port][/vhost]");
  }
  if (url.protocol !== "amqp:" && url.protocol !== "amqps:") {
    throw new Error(`BROKER has the scheme ${url.protocol} instead of amqp: or amqps:`);
  }
  const tls = url.protocol === "amqps:";
  const host = url.hostname.replace(/^\[|\]$/g, "") || "localhost";
  const port = Number(url.port || (tls ? 5671 : 5672));
  const answer = await probe(host, port, tls ? "tcp" : "amqp", 5000);
  const where = `the given BROKER, ${url.protocol}//${url.hostname}:${port},`;
  if (answer === "silence") throw new Error(`${where} does not speak AMQP 0-9-1`);
  if (answer instanceof Error) {
    throw new Error(`${where} cannot be reached: ${answer.message}`, { cause: answer });
  }
  return { uri, [Symbol.asyncDispose]: () => Promise.resolve() };
}

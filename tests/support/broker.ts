import process from "node:process";
import { dockerRuns, startContainer } from "./container.ts";
import type { BrokerControl } from "./control.ts";
import { installServer, mayInstall } from "./debian.ts";
import { findInstallation } from "./installation.ts";
import { probe } from "./net.ts";
import { startSharedNode } from "./private_node.ts";

export { freePorts } from "./net.ts";
export {
  type PrivateBroker,
  type PrivateBrokerOptions,
  startPrivateBroker,
} from "./private_node.ts";

/** A RabbitMQ to test against. Disposing removes it, if it was started for this run. */
export interface Broker extends AsyncDisposable {
  /** Where it listens: `amqp://…`. */
  readonly uri: string;
  /** How to ask and command it; absent for a given broker, which is never touched. */
  readonly control?: BrokerControl;
  /** Runs rabbitmqctl on it; resolves with what it printed. Absent for a given broker. */
  ctl?(...args: string[]): Promise<string>;
}

/**
 * Finds brokers: the one in `BROKER`, for all of them; else private nodes of the installed RabbitMQ; else containers,
 * where a Docker engine runs; else, as root on Debian, it installs the package and starts private nodes.
 *
 * @param options.signal gives up, removing what was started
 * @throws where a given broker does not answer, a start fails, or there is no way at all
 */
export async function findBrokers(
  count: number,
  options: { signal?: AbortSignal } = {},
): Promise<Broker[]> {
  const { signal } = options;
  const given = process.env.BROKER;
  if (given) return Array(count).fill(await givenBroker(given));
  const start = await starter(signal);
  const starting = Array.from({ length: count }, () => start(signal));
  const started = await Promise.allSettled(starting);
  const brokers = started.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
  const failed = started.find((each) => each.status === "rejected");
  if (failed === undefined) return brokers;
  await Promise.all(brokers.map((broker) => broker[Symbol.asyncDispose]()));
  throw failed.reason;
}

async function starter(signal?: AbortSignal): Promise<(signal?: AbortSignal) => Promise<Broker>> {
  if (findInstallation()) return startSharedNode;
  if (await dockerRuns()) return startContainer;
  signal?.throwIfAborted();
  if (!mayInstall()) throw new Error(NO_WAY);
  await installServer(signal);
  return startSharedNode;
}

const NO_WAY = `no RabbitMQ to test against. Any one of these will do:
  - name a broker that runs:          BROKER=amqp://localhost:5672 deno task test
  - install RabbitMQ:                 apt-get install rabbitmq-server, or brew install rabbitmq
                                      (the tests start a private node; no service need run)
  - start Docker:                     the tests start a container of rabbitmq:4-management
  - run the tests as root on Debian:  they install the package themselves`;

async function givenBroker(uri: string): Promise<Broker> {
  // Messages must not show the password: they are made of the host and port alone.
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

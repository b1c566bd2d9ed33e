// Invariants:
// - Every process and file of a node belongs to its Supervisor: closing that, or its death, removes all of them.
// - A node shares nothing with others: its ports, epmd, cookie, home and data are its own, on 127.0.0.1 only. The nodes
// of a cluster share the epmd and the cookie of the first one.

import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Broker } from "./broker.ts";
import { type BrokerControl, runCtl } from "./control.ts";
import { corePlugins } from "./core_plugins.ts";
import { evalJson } from "./erlang.ts";
import { findInstallation, type Installation } from "./installation.ts";
import { cleanEnv, logLine, Supervisor } from "./supervisor.ts";
import { freePorts, probe, waitUntil } from "./net.ts";

/** The options of {@linkcode startPrivateBroker}. */
export interface PrivateBrokerOptions {
  /** Lines for rabbitmq.conf, for example a TLS listener on a port of `freePorts`. */
  conf?: string[];
  /** Plugins to enable, for example `rabbitmq_management`. */
  plugins?: string[];
  /** The RabbitMQ to start a node of, if not the first that is found. */
  installation?: Installation;
  /** A node whose cluster this node will join. They share its epmd and cookie, so dispose of it last. */
  peer?: PrivateBroker;
  /** Cancels the start and removes the node. */
  signal?: AbortSignal;
}

/** A RabbitMQ node of one test, which may stop or crash it. */
export interface PrivateBroker extends Broker {
  readonly control: BrokerControl;
  /** The AMQP port on 127.0.0.1, which stays the same after a restart. */
  readonly port: number;
  /** The folder of the node's data, logs and configuration. */
  readonly directory: string;
  /** Runs rabbitmqctl and resolves with its output. */
  ctl(...args: string[]): Promise<string>;
  /** Crashes the node. Durable data is kept for {@linkcode PrivateBroker.restart}. */
  crash(): Promise<void>;
  /** Shuts the node down in an orderly way. */
  stop(): Promise<void>;
  /** Starts the node again, and stops it first if it runs. Resolves when it answers. */
  restart(): Promise<void>;
  /** Stops the node's process with SIGSTOP: its sockets stay open and silent. */
  suspend(): void;
  /** Continues a suspended node. */
  resume(): void;
}

/**
 * Starts a private RabbitMQ node of the installed server, in about 5 s. Disposal, or the death of this process, removes
 * it completely.
 *
 * @throws if no server is installed, or if the node does not start: with the end of its output
 */
export async function startPrivateBroker(
  options: PrivateBrokerOptions = {},
): Promise<PrivateBroker> {
  const installation = options.installation ?? findInstallation();
  if (!installation) throw new Error("no rabbitmq-server is installed");
  for (let attempt = 1;; attempt++) {
    const node = new PrivateNode(installation, options, await freePorts(3));
    try {
      await node.start(options.signal);
      return node;
    } catch (error) {
      const output = node.output();
      await node[Symbol.asyncDispose]();
      options.signal?.throwIfAborted();
      // Another process may have taken a port that was free before.
      if (attempt === 1 && /eaddrinuse|already in use|port_in_use/i.test(output)) continue;
      throw new Error(`${(error as Error).message}\n${output}`, { cause: error });
    }
  }
}

class PrivateNode implements PrivateBroker {
  readonly uri: string;
  readonly port: number;
  readonly directory: string;
  readonly control: BrokerControl;
  #epmdPort: number;
  #supervisor: Supervisor;
  #running = false;
  #onExit: () => void = () => {};
  #exited: Promise<void> = Promise.resolve();

  constructor(installation: Installation, options: PrivateBrokerOptions, ports: number[]) {
    const [port, distPort, ownEpmdPort] = ports as [number, number, number];
    const { peer } = options;
    const epmdPort = Number(peer?.control.env.ERL_EPMD_PORT ?? ownEpmdPort);
    const directory = mkdtempSync(join(tmpdir(), "channelts-broker-"));
    const name = `channelts-${port}@localhost`;
    const path = (file: string) => join(directory, file);
    for (const folder of ["home", "conf.d"]) mkdirSync(path(folder));
    const cookie = "home/.erlang.cookie";
    const secret = peer
      ? readFileSync(join(peer.directory, cookie))
      : randomBytes(24).toString("hex");
    writeFileSync(path(cookie), secret, { mode: 0o400 });
    writeFileSync(path("enabled_plugins"), `[${(options.plugins ?? []).join(",")}].\n`);
    const conf = [`listeners.tcp.channelts = 127.0.0.1:${port}`, ...CONF, ...options.conf ?? []];
    writeFileSync(path("rabbitmq.conf"), conf.join("\n") + "\n");

    this.port = port;
    this.directory = directory;
    this.uri = `amqp://127.0.0.1:${port}`;
    this.#epmdPort = epmdPort;
    const scripts = options.plugins ? undefined : corePlugins(installation, path("server"));
    const env = {
      HOME: path("home"),
      ERL_EPMD_ADDRESS: "127.0.0.1",
      ERL_EPMD_PORT: String(epmdPort),
      ERL_CRASH_DUMP: "/dev/null",
      RABBITMQ_NODENAME: name,
      RABBITMQ_CONF_ENV_FILE: "/dev/null", // ignores the machine's settings
      RABBITMQ_CTL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
      ...scripts === undefined ? {} : { RABBITMQ_SCRIPTS_DIR: scripts },
    };
    this.control = {
      ctl: [installation.ctl],
      ...installation.erlCall ? { erlCall: [installation.erlCall, "-r", "-n", name] } : {},
      env,
    };
    this.#supervisor = new Supervisor(
      "supervise_node.sh",
      [directory, installation.server, peer ? "" : installation.epmd],
      cleanEnv({
        ...env,
        RABBITMQ_MNESIA_BASE: path("data"),
        RABBITMQ_LOG_BASE: path("log"),
        RABBITMQ_GENERATED_CONFIG_DIR: path("generated"),
        RABBITMQ_PLUGINS_EXPAND_DIR: path("plugins"),
        RABBITMQ_ENABLED_PLUGINS_FILE: path("enabled_plugins"),
        RABBITMQ_CONFIG_FILE: path("rabbitmq.conf"),
        RABBITMQ_CONFIG_FILES: path("conf.d"),
        RABBITMQ_ADVANCED_CONFIG_FILE: path("advanced.config"),
        RABBITMQ_PID_FILE: path("rabbit.pid"),
        RABBITMQ_DIST_PORT: String(distPort),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
          "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        // As under systemd, the server's script becomes the Erlang VM instead of waiting for it, so that there is one
        // pid.
        RUNNING_UNDER_SYSTEMD: "true",
      }),
      (line) => {
        if (line.startsWith("exited")) this.#ended();
      },
    );
    this.#supervisor.gone.then(() => this.#ended());
  }

  async start(signal?: AbortSignal): Promise<void> {
    const epmd = async () => await probe("127.0.0.1", this.#epmdPort, "tcp", 1000) === "yes";
    if (!await waitUntil(epmd, 60_000, signal)) throw new Error("epmd did not start within 60 s");
    rmSync(join(this.directory, "rabbit.pid"), { force: true });
    this.#running = true;
    this.#exited = new Promise((resolve) => this.#onExit = resolve);
    this.#supervisor.send("start");
    const answers = async () => {
      if (!this.#running) throw new Error("the private RabbitMQ ended while starting");
      return await probe("127.0.0.1", this.port, "amqp", 2000) === "yes";
    };
    if (!await waitUntil(answers, 90_000, signal)) {
      throw new Error("the private RabbitMQ did not answer within 90 s");
    }
  }

  ctl(...args: string[]): Promise<string> {
    return runCtl(this.control, args);
  }

  crash(): Promise<void> {
    return this.#end("SIGKILL");
  }

  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  suspend(): void {
    this.#signal("SIGSTOP");
    // The signal may take a moment to reach every thread; until then the node may still answer.
    for (const end = Date.now() + 1000; Date.now() < end && !this.#isSuspended(););
  }

  /** Reports whether every thread of the node is stopped (proc(5)); true if the system has no /proc. */
  #isSuspended(): boolean {
    const tasks = `/proc/${this.#pid}/task`;
    if (!existsSync(tasks)) return true;
    return readdirSync(tasks).every((thread) =>
      /\) [Tt] /.test(readFileSync(`${tasks}/${thread}/stat`, "utf8"))
    );
  }

  get #pid(): number {
    return Number(readFileSync(join(this.directory, "rabbit.pid"), "utf8"));
  }

  resume(): void {
    this.#signal("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#supervisor.close();
    // The script has removed it, unless the script was killed.
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The node's output about its failure, for error messages. */
  output(): string {
    const lines = ["node.out", "epmd.out"].flatMap((file) => {
      const path = join(this.directory, file);
      return existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
    });
    // The first errors give the cause; the rest come from Erlang's supervisors.
    const errors = lines.filter((line) => /\[error\] <[\d.]+> *\S/.test(line)).slice(0, 15);
    return (errors.length > 0 ? errors : lines.slice(-40)).join("\n").trim() +
      this.#supervisor.stderr;
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (!this.#running) return;
    // A suspended node cannot shut down in order. A node that is about to be killed must not answer before.
    if (signal !== "SIGKILL") this.#signal("SIGCONT");
    this.#signal(signal);
    await this.#exited;
  }

  #signal(signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): void {
    if (!this.#running) throw new Error(`the private RabbitMQ at ${this.uri} does not run`);
    process.kill(this.#pid, signal);
  }

  #ended(): void {
    this.#running = false;
    this.#onExit();
  }
}

const CONF = [
  "loopback_users = none",
  "disk_free_limit.absolute = 50MB",
  "log.console = false",
  "log.file.level = info",
];

/** Starts a node that many test files share, one after the other. */
export function startSharedNode(
  signal?: AbortSignal,
  installation?: Installation,
): Promise<PrivateBroker> {
  logLine("starting a private RabbitMQ …");
  return startPrivateBroker({
    ...signal ? { signal } : {},
    ...installation ? { installation } : {},
  });
}

/**
 * Restarts a node in order and asserts that it comes up with all virtual hosts and that its log has no `Unable to
 * recover`.
 */
export async function assertRestarts(node: PrivateBroker): Promise<void> {
  const { control, directory } = node;
  const log = () => {
    const folder = join(directory, "log");
    const files = readdirSync(folder).filter((file) => file.endsWith(".log")).sort();
    return files.map((file) => readFileSync(join(folder, file), "utf8")).join("");
  };
  const before = await evalJson<string[]>(control, "rabbit_vhost:list_names()");
  const { length } = log();
  await node.restart();
  await waitUntil(() => evalJson<boolean>(control, "rabbit:is_running()"), 60_000); // the node listens before it runs
  const running = await evalJson<string[]>(
    control,
    `begin
       [M:filesync(Id) || #{id := Id, module := M} <- logger:get_handler_config(),
                          erlang:function_exported(M, filesync, 1)],
       [V || V <- rabbit_vhost:list_names(), rabbit_vhost_sup_sup:is_vhost_alive(V)]
     end`,
  );
  const down = before.filter((name) => !running.includes(name));
  const said = log().slice(length).split("\n").filter((line) => /unable to recover/i.test(line));
  if (down.length === 0 && said.length === 0) return;
  throw new Error(
    [`after a restart these virtual hosts are down: ${down.join(", ") || "none"}`, ...said]
      .join("\n"),
  );
}

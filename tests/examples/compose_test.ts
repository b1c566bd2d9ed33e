// The system of examples/compose without Docker, and the Compose files of the repository.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { parse } from "yaml";
import { Channel } from "../../mod.ts";
import { connectionsRest } from "../conformance/fixture.ts";
import { brokerState } from "../support/broker_state.ts";
import { controlFromEnv } from "../support/control.ts";
import { untilAsBefore } from "../support/leftovers.ts";
import { test } from "../support/test.ts";
import { ROOT } from "../support/test_files.ts";
import { Program } from "./program.ts";

const broker = process.env.BROKER!;
assert.ok(broker, "BROKER names no broker: run with `deno task test`");
const { hostname, port } = new URL(broker);

const FILES = ["docker-compose.yml", "examples/compose/compose.yaml"];

interface Service {
  readonly image: string;
  readonly command?: string | readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly ports?: readonly string[];
  readonly profiles?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes?: Readonly<Record<string, null>>;
}

function read(file: string): Compose {
  return parse(readFileSync(join(ROOT, file), "utf8"), { merge: true });
}

/** A check of a value, and what it expects. */
type Check = (value: unknown, path: string) => void;

const text: Check = (value, path) => assert.ok(typeof value === "string" && value !== "", path);
const count: Check = (value, path) => assert.ok(Number.isInteger(value), path);
const matching = (pattern: RegExp): Check => (value, path) =>
  assert.match(String(value), pattern, path);
const oneOf = (...values: unknown[]): Check => (value, path) =>
  assert.ok(values.includes(value), `${path}: ${value}`);
const each = (check: Check): Check => (value, path) => {
  assert.ok(Array.isArray(value), path);
  value.forEach((item, i) => check(item, `${path}[${i}]`));
};
const map = (check: Check): Check => (value, path) => {
  assert.ok(typeof value === "object" && value !== null && !Array.isArray(value), path);
  for (const [key, item] of Object.entries(value)) check(item, `${path}.${key}`);
};
const object = (keys: Record<string, Check>): Check => (value, path) => {
  map((_item, at) => assert.ok(at.slice(path.length + 1) in keys, `${at} is not known`))(
    value,
    path,
  );
  for (const [key, item] of Object.entries(value as object)) keys[key]!(item, `${path}.${key}`);
};
const duration = matching(/^(\d+(us|ms|s|m|h))+$/);

/** The part of the Compose specification that the files use. */
const program = {
  image: matching(/^[\w./-]+:[\w.-]+$/),
  command: ((value, path) => (Array.isArray(value) ? each(text) : text)(value, path)) as Check,
  deploy: object({ replicas: count }),
  depends_on: map(object({
    condition: oneOf("service_started", "service_healthy", "service_completed_successfully"),
  })),
  environment: map(text),
  healthcheck: object({
    test: each(text),
    interval: duration,
    timeout: duration,
    retries: count,
    start_period: duration,
  }),
  hostname: matching(/^[a-z][a-z0-9-]*$/),
  ports: each(matching(/^127\.0\.0\.1:\d+:\d+$/)), // reached from this machine only
  profiles: each(matching(/^[a-z]+$/)),
  restart: oneOf("no", "always", "on-failure", "unless-stopped"),
  volumes: each(matching(/^[\w./-]+:\/[\w./-]+(:ro)?$/)),
  working_dir: matching(/^\//),
};
const schema = object({
  name: matching(/^[a-z0-9][a-z0-9_-]*$/),
  "x-program": object(program),
  services: map(object(program)),
  volumes: map((value, path) => assert.equal(value, null, path)),
});

for (const file of FILES) {
  Deno.test(`compose: ${file} has the keys of the Compose specification, and names what exists`, () => {
    const compose = read(file);
    schema(compose, file);
    for (const [title, service] of Object.entries(compose.services)) {
      for (const needed of Object.keys(service.depends_on ?? {})) {
        assert.ok(needed in compose.services, `${title} depends on ${needed}`);
      }
      for (const [from] of (service.volumes ?? []).map((volume) => volume.split(":"))) {
        const exists = from!.startsWith(".")
          ? existsSync(join(ROOT, dirname(file), from!))
          : from! in (compose.volumes ?? {});
        assert.ok(exists, `${title} mounts ${from}`);
      }
    }
  });

  const skip = spawnSync("docker", ["compose", "version"]).status !== 0 &&
    "docker compose is not installed";
  test(`compose: docker compose accepts ${file}`, { skip }, () => {
    const { status, stderr } = spawnSync("docker", ["compose", "-f", file, "config", "--quiet"], {
      cwd: ROOT,
    });
    assert.equal(status, 0, String(stderr));
  });
}

Deno.test("compose: the broker of both files is the same, and the programs have its user", () => {
  const [root, example] = FILES.map((file) => read(file).services) as [
    Compose["services"],
    Compose["services"],
  ];
  assert.equal(example.rabbitmq!.image, root.rabbitmq!.image);
  const { RABBITMQ_DEFAULT_USER: user, RABBITMQ_DEFAULT_PASS: password } = example.rabbitmq!
    .environment!;
  for (const title of ["worker", "producer"]) {
    const { CHANNELTS_URI } = example[title]!.environment!;
    assert.equal(CHANNELTS_URI, `amqp://${user}:${password}@rabbitmq:5672`);
  }
});

Deno.test("compose: the servers for development are where the comments and the pages say", () => {
  const file = "docker-compose.yml";
  const { services } = read(file);
  const published = Object.values(services).flatMap(({ ports }) => ports ?? []);
  const texts = [file, "README.md", "docs/redis.md"].map((path) =>
    readFileSync(join(ROOT, path), "utf8")
  );
  const commands = texts[0]!.match(/^ *# +(?:BROKER|REDIS)=.*$/gm) ?? [];
  assert.equal(commands.length, 2);
  for (const line of commands) {
    const [, port] = /localhost:(\d+)/.exec(line)!;
    assert.ok(published.some((each) => each.endsWith(`:${port}:${port}`)), line);
  }
  // A service that is named runs without its profile, and alone.
  for (const text of texts) assert.ok(text.includes("docker compose up --wait redis"));
  const { image, profiles, command, ports } = services.redis!;
  assert.deepEqual(profiles, ["redis"]);
  // docs/redis.md says what this Redis is.
  assert.match(texts[2]!, /starts a Redis\s7\.0\s+with\s+an\s+append-only\s+file\s+on/);
  assert.equal(image, "redis:7.0");
  assert.deepEqual(command?.slice(-2), ["--appendonly", "yes"]);
  assert.ok(texts[2]!.includes(`redis://localhost:${ports![0]!.split(":")[1]}\``));
});

Deno.test("compose: the variant with the package has the same keys, and its image has the programs", () => {
  const folder = join(ROOT, "examples/compose");
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const variant = parse(/```yaml\n(.*?)```/s.exec(readme)![1]!, { merge: true });
  object({
    "x-program": object({ build: oneOf("."), init: oneOf(true) }),
    services: object({ worker: object(program), producer: object(program) }),
  })(variant, "README.md");
  const image = readFileSync(join(folder, "Dockerfile"), "utf8");
  const [, files] = /^COPY (.*) \.\/$/m.exec(image)!;
  assert.deepEqual(files!.split(" "), ["worker.ts", "producer.ts"]);
  for (const title of ["worker", "producer"]) {
    assert.equal(variant.services[title].command, `node ${title}.ts`);
    assert.ok(existsSync(join(folder, `${title}.ts`)));
  }
});

Deno.test("compose: the commands do all jobs although a worker is killed", async () => {
  const { services } = read("examples/compose/compose.yaml");
  const before = await brokerState();
  const started: Program[] = [];
  const start = (title: string, env: Record<string, string>) => {
    const [deno, ...args] = String(services[title]!.command).split(" ");
    assert.equal(deno, "deno");
    const here = args.map((arg) => arg.replace("rabbitmq:5672", `${hostname}:${port || 5672}`));
    const program = new Program(
      [process.execPath, ...here],
      { CHANNELTS_URI: broker, ...env },
      ROOT,
    );
    started.push(program);
    return program;
  };
  try {
    const workers = ["one", "two"].map((HOSTNAME) => start("worker", { HOSTNAME }));
    const producer = start("producer", { JOBS: "100", INTERVAL: "10", WORK: "10" });
    await producer.line(/^50 of 100 jobs are done/);
    workers[0]!.kill("SIGKILL");
    workers[0] = start("worker", { HOSTNAME: "three" });
    assert.match(await producer.done(), /^all 100 jobs are done/m);
    for (const worker of workers) worker.kill("SIGTERM");
    for (const worker of workers) await worker.done();
  } finally {
    for (const program of started) await program[Symbol.asyncDispose]();
    await new Channel({ name: "jobs", connection: broker }).delete();
    await new Channel({ name: "jobs.dead-letters", connection: broker }).delete();
    await connectionsRest();
  }
  if (before !== undefined) await untilAsBefore(controlFromEnv()!, before);
});

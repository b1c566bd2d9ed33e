// The files of tests, and where and when they run.

import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the tests. */
export const TESTS: string = fileURLToPath(new URL("..", import.meta.url));

/** The folder of the project. */
export const ROOT: string = resolve(TESTS, "..");

/** Test files that Bun and Node skip unless they are named, each with the reason. */
export const DENO_ONLY: Record<string, string> = {
  "connect_test.ts": "takes a minute, most of it for brokers that stop and start",
  "admin_commands_test.ts":
    "tests logic that does not depend on the runtime; terminal_test.ts runs the program on each",
  "doctor_broker_test.ts":
    "tests what a broker says in bad states, which does not depend on the runtime",
  "home_limits_test.ts":
    "speaks to the home within the process; the result does not depend on the runtime",
  "home_wire_test.ts":
    "speaks to the home within the process; the result does not depend on the runtime",
  "home_resumption_test.ts":
    "speaks to the home within the process; the result does not depend on the runtime",
  "home_copies_test.ts": "speaks to the home by frames; the result does not depend on the runtime",
  "home_test.ts": "peers have the conformance suite on all runtimes",
  "browser_test.ts": "drives a browser, which does not depend on the runtime",
  "bundlers_test.ts": "starts the other runtimes itself",
  "cli_test.ts": "starts the other runtimes itself",
  "cli_pipeline_test.ts": "kills processes, whose runtime does not matter",
  "completion_test.ts": "runs shells, which does not depend on the runtime",
  "logger_test.ts": "a logger of npm; what is logged does not depend on the runtime",
  "bundle_test.ts": "bundles the codec with Deno",
  "ended_connections_test.ts":
    "controls its broker for a minute; the result does not depend on the runtime",
  "examples_test.ts": "runs the examples with Deno, as the README says",
  "publishing_test.ts": "checks files, which does not depend on the runtime",
  "package_test.ts": "starts the other runtimes itself",
  "programs_test.ts": "runs the examples with Deno; another file runs them on Bun and Node",
  "installed_examples_test.ts": "starts the other runtimes itself",
  "compose_test.ts": "runs the example with Deno, as its files say",
  "channelpy_example_test.ts": "runs the example with Deno",
  "npm_packages_test.ts": "checks files, which does not depend on the runtime",
  "chat_test.ts": "drives a browser, and starts the other runtimes itself",
  "home_mixed_test.ts": "drives a browser, and starts the other runtimes itself",
  "custom_transport_test.ts":
    "tests an example, which does not depend on the runtime; memory_test.ts covers the core",
  "docs_test.ts": "checks the documentation, which does not depend on the runtime",
  "drain_races_test.ts": "tests a race in the broker, which does not depend on the runtime",
  "entry_sizes_test.ts": "measures the npm package, which does not depend on the runtime",
  "entries_test.ts": "starts the other runtimes itself",
  "exit_test.ts": "starts the other runtimes itself",
  "faults_test.ts": "takes two minutes for a private broker, its restarts and its heartbeats",
  "follow_test.ts": "tests logic that does not depend on the runtime",
  "foreign_code_test.ts": "compiles programs with Deno",
  "go_test.ts": "compares channels with Go's; the conformance suite covers each runtime",
  "growth_test.ts": "measures figures that do not depend on the runtime",
  "guarantees_test.ts": "checks the documentation, which does not depend on the runtime",
  "home_attacks_test.ts": "tests logic that does not depend on the runtime",
  "home_peer_test.ts": "tests logic that does not depend on the runtime",
  "home_permissions_test.ts": "tests permissions of Deno",
  "home_secrets_test.ts": "tests texts, which do not depend on the runtime",
  "message_headers_test.ts": "tests logic that does not depend on the runtime",
  "heap_test.ts": "tests a structure that does not depend on the runtime",
  "home_faults_test.ts": "takes a minute for homes that stop and start",
  "home_hostile_test.ts": "plays peers and homes with means of Deno",
  "home_processes_test.ts": "starts the other runtimes itself",
  "home_soak_test.ts": "takes half a minute for a home and its failures",
  "telemetry_claims_test.ts":
    "tests logic that does not depend on the runtime; telemetry_test.ts covers each",
  "terminal_test.ts": "starts the other runtimes itself",
  "topology_races_test.ts": "tests a race in the broker, which does not depend on the runtime",
  "acks_test.ts": "tests logic that does not depend on the runtime",
  "attach_cycle_test.ts": "tests logic that does not depend on the runtime",
  "link_attachment_test.ts": "tests logic that does not depend on the runtime",
  "declarations_test.ts": "tests logic that does not depend on the runtime",
  "prefetch_test.ts": "tests logic that does not depend on the runtime",
  "send_policy_test.ts": "tests logic that does not depend on the runtime",
  "sqlite_room_test.ts": "tests logic that does not depend on the runtime",
  "turns_test.ts": "starts the other runtimes itself",
  "limits_test.ts": "checks the documentation, which does not depend on the runtime",
  "troubleshooting_test.ts": "checks the documentation, which does not depend on the runtime",
  "layout_test.ts": "checks the imports of the sources, which do not depend on the runtime",
  "least_privilege_test.ts": "tests permissions of the broker, which do not depend on the runtime",
  "stopped_listener_test.ts": "stops a process with signals and queries the broker",
  "leaks_test.ts": "starts the other runtimes itself",
  "model_test.ts": "is a random search, which need not run on each runtime",
  "options_page_test.ts": "checks the documentation, which does not depend on the runtime",
  "operations_test.ts": "tests permissions of the broker, which do not depend on the runtime",
  "outbox_test.ts": "tests puts on lost connections, which do not depend on the runtime",
  "peers_test.ts": "runs an example with Deno, on hosts of its own",
  "processes_test.ts": "tests how processes share values, which does not depend on the runtime",
  "queues_test.ts": "tests what the broker keeps, which does not depend on the runtime",
  "refusals_test.ts": "tests what the broker refuses, which does not depend on the runtime",
  "commands_test.ts": "runs the commands of the pages with Deno",
  "snippets_test.ts": "checks and runs the code of the pages with Deno",
  "sizes_test.ts": "tests what the broker refuses, which does not depend on the runtime",
  "soak_test.ts": "takes half a minute for a private broker and its failures",
  "cluster_test.ts": "takes a minute for three private brokers and their cluster",
  "redis_faults_test.ts": "tests lost connections, which do not depend on the runtime",
  "redis_doctor_test.ts": "tests the command doctor, which does not depend on the runtime",
  "redis_permissions_test.ts": "tests permissions of Deno",
  "redis_processes_test.ts": "starts the other runtimes itself",
  "redis_server_test.ts": "tests what the server does, which does not depend on the runtime",
  "redis_survival_test.ts": "tests what the server does, which does not depend on the runtime",
  "redis_moves_test.ts": "tests what a cluster does, which does not depend on the runtime",
  "redis_topology_test.ts": "tests what a cluster does, which does not depend on the runtime",
  "redis_cluster_faults_test.ts": "tests lost connections, which do not depend on the runtime",
  "slot_source_test.ts": "tests logic that does not depend on the runtime",
  "redis_cluster_test.ts": "redis_test.ts runs on each runtime; by hand this one does, too",
  "redis_soak_test.ts": "takes half a minute for a private Redis and its failures",
  "redis_vanished_test.ts": "tests when a server's system notices, on hosts of its own",
  "redis_partition_test.ts": "tests networks, on hosts of its own",
  "home_close_test.ts": "tests the core of a home, which does not depend on the runtime",
  "cli_parts_test.ts": "tests the program, whose runtimes cli_test.ts runs",
  "redis_refusals_test.ts": "tests what the server refuses, which does not depend on the runtime",
  "redis_lost_loans_test.ts": "tests lost connections, which do not depend on the runtime",
  "redis_scripts_test.ts": "tests what scripts do, which does not depend on the runtime",
  "redis_exit_test.ts": "starts the other runtimes itself",
  "redis_secrets_test.ts": "tests texts, which do not depend on the runtime",
  "repeated_announcements_test.ts": "tests lost connections, which do not depend on the runtime",
  "redis_growth_test.ts": "tests what the server does, which does not depend on the runtime",
  "redis_hostile_test.ts": "plays servers and other programs, which does not depend on the runtime",
  "redis_uri_test.ts": "tests a parser, which does not depend on the runtime",
  "reply_reader_test.ts": "tests logic that does not depend on the runtime",
  "report_test.ts": "tests the harness, which runs on Deno",
  "schedule_test.ts": "tests the harness, which runs on Deno",
  "supervisor_test.ts": "tests the harness, which runs on Deno",
  "runners_test.ts": "starts the other runtimes itself",
  "runtimes_test.ts": "starts the other runtimes itself",
  "unhandled_test.ts": "starts the other runtimes itself",
  "workerd_test.ts": "starts workerd, which does not depend on the runtime",
  "zmq_uri_test.ts": "tests a parser, which does not depend on the runtime",
  "zmtp_hostile_test.ts": "is a random search, which need not run on each runtime",
};

/**
 * Files that mostly wait for private brokers. They have lanes of their own. The first one uses the broker of the first
 * lane, which the tests that measure time use in the end.
 */
export const WAITING: readonly string[] = [
  "connect_test.ts",
  "faults_test.ts",
  "cluster_test.ts",
  "soak_test.ts",
  "home_faults_test.ts",
  "redis_faults_test.ts",
  "redis_doctor_test.ts",
  "redis_server_test.ts",
  "redis_moves_test.ts",
  "redis_topology_test.ts",
  "redis_vanished_test.ts",
  "redis_partition_test.ts",
  "redis_exit_test.ts",
  "redis_survival_test.ts",
  "redis_soak_test.ts",
  "home_soak_test.ts",
  "exit_test.ts",
  "browser_test.ts",
];

/** Files whose tests that measure time run beside nothing else, each with the reason. */
export const ALONE: Record<string, string> = {
  "browser_test.ts": "a browser keeps both cores busy",
};

/** Files that take longest. They start first, so that none of them is the last to end. */
export const LONG: readonly string[] = [
  "amqp_test.ts",
  "redis_test.ts",
  "leaks_test.ts",
  "bundlers_test.ts",
  "outbox_test.ts",
  "codec_test.ts",
  "examples_test.ts",
  "package_test.ts",
  "installed_examples_test.ts",
  "chat_test.ts",
  "sqlite_test.ts",
  "memory_test.ts",
  "connection_test.ts",
  "tls_test.ts",
  "sqlite_processes_test.ts",
  "processes_test.ts",
  "model_test.ts",
  "requests_test.ts",
  "sqlite_faults_test.ts",
  "workers_test.ts",
  "programs_test.ts",
];

/** Files whose tests use a broker but run on a further one only with --brokers=all, each with the reason. */
export const ONE_BROKER: Record<string, string> = {
  "admin_commands_test.ts": "runs the program channelts, whose engine other tests cover",
  "cli_pipeline_test.ts": "runs the program channelts, whose engine other tests cover",
  "commands_test.ts": "runs the program channelts, whose engine other tests cover",
  "logger_test.ts": "tests texts, which do not depend on the broker's version",
  "telemetry_test.ts": "tests what is before the broker, and its headers have a test of their own",
  "cli_test.ts": "tests a program whose use of a broker other tests cover",
  "client_internals_test.ts": "tests the AMQP client, which does not depend on the broker",
  "connection_test.ts":
    "tests the errors of a connection, which do not depend on the broker's version",
  "doctor_test.ts": "tests files and homes; doctor_broker_test.ts tests brokers",
  "examples_test.ts": "runs the examples, which use nothing that other tests do not cover",
  "programs_test.ts": "runs the examples, which use nothing that other tests do not cover",
  "compose_test.ts": "runs an example, which uses nothing that other tests do not cover",
  "channelpy_example_test.ts": "runs an example, which uses nothing that other tests do not cover",
  "exit_test.ts": "tests when a process ends, which the runtime decides",
  "go_test.ts": "compares channels with Go's; the broker's version does not matter",
  "home_port_test.ts": "tests what is before the broker, a home",
  "home_ws_test.ts": "tests what is before the broker, a home",
  "home_zmq_test.ts": "tests what is before the broker, a home",
  "leaks_test.ts": "measures the memory of the runtime",
  "model_test.ts": "is a random search, which need not run on each broker",
  "package_test.ts": "uses nothing of the broker that other tests do not cover",
  "operations_test.ts": "waits for RabbitMQ's tools, which take a second for each command",
  "processes_test.ts": "tests how processes share values, which amqp_test.ts covers too",
  "snippets_test.ts":
    "runs the code of the pages, which uses nothing that other tests do not cover",
  "repeated_announcements_test.ts": "tests lost connections, which do not depend on the broker",
  "soak_test.ts": "is a random search, which need not run on each broker",
  "tls_test.ts": "tests the errors of the TLS libraries",
  "workerd_test.ts": "tests which request may use a connection, which workerd decides",
};

/** Files whose tests use a Redis and run on each further one also with --brokers=two, each with the reason. */
export const EACH_REDIS: Record<string, string> = {
  "redis_test.ts": "has what channels promise",
  "redis_server_test.ts": "has what servers do, and they differ",
};

/** All test files, sorted. */
export function testFiles(): string[] {
  return globSync("**/*_test.ts", { cwd: TESTS }).map((file) => join(TESTS, file)).sort();
}

/** Reports whether the tests in a file use a broker, judged by the names in it. */
export function usesBroker(file: string): boolean {
  return /\bBROKER\b|\bstart(PrivateBroker|Cluster)\b/.test(readFileSync(file, "utf8"));
}

/** Reports whether the tests in a file use the broker of their lane, judged by its name in it. */
export function usesLanesBroker(file: string): boolean {
  return /\bBROKER\b/.test(readFileSync(file, "utf8"));
}

/** Reports whether the tests in a file use a Redis and no broker, judged by the names in it. */
export function usesRedis(file: string): boolean {
  return /\b(redisUri|start(Redis|RedisCluster|OneNodeCluster))\b/.test(
    readFileSync(file, "utf8"),
  ) &&
    !usesBroker(file);
}

/** Reports whether the tests in a file use a Redis that may as well be a cluster. */
export function usesAnyRedis(file: string): boolean {
  return usesRedis(file) && /\bredisUri\b/.test(readFileSync(file, "utf8"));
}

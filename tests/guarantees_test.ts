// Each row of docs/guarantees.md, and of the failures in docs/redis.md, names a test that proves it.

import { deepEqual, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { within } from "./conformance/fixture.ts";
import { readPage } from "./support/pages/pages.ts";
import { ROOT } from "./support/test_files.ts";

Deno.test("guarantees: the channels of memory: end with their isolate, and no other isolate has them", async () => {
  const program = `import { Channel } from ${JSON.stringify(new URL("../mod.ts", import.meta.url))};
    const ch = new Channel({ name: "x", connection: "memory:guarantees" });
    const before = await ch.depth();
    await ch.put("a value");
    postMessage([before, await ch.depth()]);`;
  const depths = async () => {
    const url = `data:application/javascript,${encodeURIComponent(program)}`;
    const worker = new Worker(url, { type: "module" });
    const message = await within(new Promise((resolve) => worker.onmessage = resolve));
    worker.terminate();
    return (message as MessageEvent).data;
  };
  deepEqual([await depths(), await depths()], [[0, 1], [0, 1]]);
});

/** For the beginning of each row: a file of tests/, and a part of the title of a test in it. */
const proofs: Record<string, readonly [file: string, title: string]> = {
  // Overview
  "Order": ["conformance/getting.ts", "values are got in the order of the puts"],
  "A released value": ["conformance/receiving.ts", "a released value returns to its old place"],
  "Delivery": ["conformance/receiving.ts", "each value is accepted once, however often it was"],
  "A put resolves": ["conformance/putting.ts", "when a put has resolved, the value is available"],
  "Values survive": ["amqp_test.ts", "values stay in the broker without any handle, persistent"],
  "A killed consumer": ["sqlite_processes_test.ts", "a value held by a process that ends by"],
  // The outcome of a put
  "resolves": ["conformance/putting.ts", "when a put has resolved, the value is available"],
  "rejects, and the error has no `messageId`": ["outbox_test.ts", "has a known outcome"],
  "rejects, and the error has a `messageId`": [
    "outbox_test.ts",
    "cancelled after it was sent has an unknown outcome and may arrive",
  ],
  // What ends and what stays
  "a get times out, is aborted, or its handle closes": [
    "conformance/races.ts",
    "values whose gets are aborted around their arrival are each got once",
  ],
  "a put is aborted before it is sent": [
    "outbox_test.ts",
    "a put that is cancelled while it waits for its turn is never sent",
  ],
  "a loop is left": ["conformance/iteration.ts", "releases its unsettled deliveries"],
  "a handle is closed": ["conformance/closing.ts", "close first sends the values that were put"],
  "the channel is closed with `closeAll()`": [
    "conformance/termination.ts",
    "values stay after closeAll for handles made later",
  ],
  "the channel is drained": [
    "conformance/draining.ts",
    "each put that races with a drain is delivered before the end or rejected",
  ],
  "a consumer releases a value `maxAttempts` times": [
    "conformance/dead_letters.ts",
    "becomes a dead letter, and others keep their order",
  ],
  "a message cannot be decoded": [
    "conformance/unreadable.ts",
    "rejects one get with its bytes, and the channel stays usable",
  ],
  // memory:
  "the isolate or the process ends": [
    "guarantees_test.ts",
    "the channels of memory: end with their isolate",
  ],
  // sqlite:
  "a process that holds values exits": [
    "sqlite_processes_test.ts",
    '["exit", 400], ["throw", 1500], ["kill", 1500]',
  ],
  "a process that holds values is killed, or ends by an exception": [
    "sqlite_processes_test.ts",
    '["exit", 400], ["throw", 1500], ["kill", 1500]',
  ],
  "a process is killed while a value is delivered to its get": [
    "sqlite_processes_test.ts",
    "a value that was delivered to a waiting process as it was killed goes to another one",
  ],
  "a process is killed while it writes": [
    "sqlite_faults_test.ts",
    "a process that is killed in a transaction has written nothing and leaves no lock",
  ],
  "processes are killed at random moments": [
    "sqlite_crash_test.ts",
    "killed processes lose no confirmed value and duplicate only values that they held",
  ],
  "a process computes for seconds, or is stopped (SIGSTOP)": [
    "sqlite_faults_test.ts",
    "a process that is stopped for seconds keeps the values that it holds, and continues",
  ],
  "all processes are killed": [
    "sqlite_processes_test.ts",
    "values survive without attached handles, also in a file of killed processes",
  ],
  "a Worker is terminated": [
    "workers_test.ts",
    "a value held by a terminated Worker is available within 2 s",
  ],
  "another program locks the file for longer than `retryTimeout`": [
    "sqlite_faults_test.ts",
    "a file that stays locked is reported, and nothing is lost when it is unlocked",
  ],
  "the file is removed": ["sqlite_faults_test.ts", "removing the file deletes its channels"],
  "another program writes into the file": ["sqlite_file_test.ts", "never a crash or a hang"],
  // Processes on RabbitMQ
  "a process that waits in a get is killed": [
    "processes_test.ts",
    "a value sent to a process that is killed in its get goes to another process",
  ],
  "a process that holds values is killed": ["conformance/dead_letters.ts", "process deaths"],
  "a process that holds values ends normally": [
    "processes_test.ts",
    "the last value that a process got is not redelivered when it has ended",
  ],
  "a server is killed during a request": [
    "requests_test.ts",
    "a request whose server is killed goes to another server",
  ],
  "a request kills server after server": [
    "requests_test.ts",
    "a request that kills its servers becomes a dead letter and does not affect others",
  ],
  "a process is stopped while others broadcast": [
    "stopped_listener_test.ts",
    "later notices the end of its channels",
  ],
  // The broker
  "the broker is restarted": ["faults/faults.ts", "the broker is restarted"],
  "the broker is killed and started again": [
    "faults/faults.ts",
    "the broker is killed and started again",
  ],
  "the broker is unreachable for longer than `retryTimeout`": [
    "faults/faults.ts",
    "the broker is unreachable for longer than retryTimeout",
  ],
  "the broker is suspended for longer than two heartbeats": [
    "faults/faults.ts",
    "the broker is suspended for longer than two heartbeats",
  ],
  "the connection is cut, at any moment": [
    "faults/faults.ts",
    "the connection is cut, and again at each step of reconnecting",
  ],
  "the network drops all packets": ["faults/faults.ts", "the network drops everything"],
  "an operator closes the connection": [
    "faults/faults.ts",
    "an operator closes the shared connection",
  ],
  "another client deletes the queue": ["faults/faults.ts", "another client deletes the queue"],
  "the broker blocks puts for lack of memory": [
    "faults/faults.ts",
    "the broker blocks puts for longer than retryTimeout by a memory alarm",
  ],
  "a delivery is held for longer than the broker's `consumer_timeout`": [
    "faults/faults.ts",
    "a delivery is held for longer than the broker's ack timeout",
  ],
  'a node of a cluster is killed, with `durability: "quorum"`': [
    "cluster_test.ts",
    "a quorum channel survives the loss of its nodes, one at a time, without losing values",
  ],
  "the only node of a classic channel is killed": [
    "cluster_test.ts",
    "a channel whose only node is killed waits for that node on the others",
  ],
  // A home
  "the home is restarted": ["faults/home_faults.ts", "the home is restarted"],
  "the home is killed and started again": [
    "faults/home_faults.ts",
    "the home is killed and started again",
  ],
  "the home is unreachable for longer than `retryTimeout`": [
    "faults/home_faults.ts",
    "the home is unreachable for longer than retryTimeout",
  ],
  "the home is suspended for longer than the silence that peers accept": [
    "faults/home_faults.ts",
    "the home is suspended for longer than the silence that peers accept",
  ],
  "the connection to the home is cut, at any moment": [
    "faults/home_faults.ts",
    "the connection is cut, and again at each step of reconnecting",
  ],
  "the network to the home drops all packets": [
    "faults/home_faults.ts",
    "the network drops everything",
  ],
  "another peer deletes the channel": [
    "faults/home_faults.ts",
    "another peer deletes the channels",
  ],
  "a home that serves memory ends, and another one is started": [
    "home_faults_test.ts",
    "zmq: to memory",
  ],
};

/** The same for the failures of a Redis, on its page. */
const proofsOnRedis: typeof proofs = {
  "the server is restarted, or killed and started again": [
    "faults/redis_faults.ts",
    "the server is killed and started again",
  ],
  "the server is unreachable for longer than `retryTimeout`": [
    "faults/redis_faults.ts",
    "the server is unreachable for longer than retryTimeout",
  ],
  "the server is suspended for longer than two heartbeats": [
    "faults/redis_faults.ts",
    "the server is suspended for longer than two heartbeats",
  ],
  "the connection is cut, at any moment, or an operator closes it": [
    "faults/redis_faults.ts",
    "the connection is cut, and again at each step of reconnecting",
  ],
  "the network drops all packets": ["faults/redis_faults.ts", "the network drops everything"],
  "the server loads its data for seconds": [
    "faults/redis_faults.ts",
    "the server is killed, and then loads its data for seconds",
  ],
  "a script of another client keeps the server busy (`BUSY`)": [
    "faults/redis_faults.ts",
    "another client's script keeps the server busy for longer than two heartbeats",
  ],
  "an operator pauses clients (`CLIENT PAUSE`)": [
    "faults/redis_faults.ts",
    "an operator pauses all clients for longer than two heartbeats",
  ],
  "the server cannot write to its disk (`MISCONF`), with `everysec`": [
    "redis_survival_test.ts",
    "while the disk of the append-only file is full, puts wait or reject",
  ],
  "the server takes no more clients (`maxclients`)": [
    "faults/redis_faults.ts",
    "the server closes all connections and takes no clients for a time",
  ],
  "the password is changed": [
    "redis_survival_test.ts",
    "a connection outlives a change of its password",
  ],
  "the user loses the permission for scripts": [
    "redis_survival_test.ts",
    "a permission that is taken away rejects operations",
  ],
  "an operator drops the scripts (`SCRIPT FLUSH`)": [
    "faults/redis_faults.ts",
    "an operator drops the scripts",
  ],
  "the channels are deleted, also by `FLUSHALL`": [
    "faults/redis_faults.ts",
    "an operator deletes everything (FLUSHALL)",
  ],
  "the server has no memory left": [
    "redis_server_test.ts",
    "a server without memory refuses puts and says so",
  ],
  "a replica becomes the primary, and the URI lists it": [
    "redis_server_test.ts",
    "after a failover the primary that the URI lists is used",
  ],
  "the primary is killed and started again": [
    "faults/redis_cluster_faults.ts",
    "the primary is killed and started again",
  ],
  "it is unreachable for longer than `retryTimeout`": [
    "faults/redis_cluster_faults.ts",
    "the primary is unreachable for longer than retryTimeout",
  ],
  "the replica takes over, by order of an operator": [
    "faults/redis_cluster_faults.ts",
    "a replica takes over by order",
  ],
  "it is killed or suspended, and the replica takes over by itself": [
    "faults/redis_cluster_faults.ts",
    "the primary is killed, and its replica takes over by itself",
  ],
  "another primary without a replica fails, so that no node serves": [
    "faults/redis_cluster_faults.ts",
    "another primary fails that has no replica, so that no node serves until it is back",
  ],
  "the slots are on the way to another node for seconds": [
    "faults/redis_cluster_faults.ts",
    "the slots of the channels are on the way to another node for seconds",
  ],
  "connections are closed or scripts dropped on all nodes": [
    "faults/redis_cluster_faults.ts",
    "an operator closes the connections to all nodes",
  ],
  "the channels are deleted, also by `FLUSHALL` on the node": [
    "faults/redis_cluster_faults.ts",
    "an operator deletes everything (FLUSHALL)",
  ],
};

const heads = ["", "The put", "What happens", "Failure"];

for (
  const [page, text, tests] of [
    ["docs/guarantees.md", readPage("docs/guarantees.md"), proofs],
    [
      "docs/redis.md",
      /^### Failures$.*?^## /ms.exec(readPage("docs/redis.md"))?.[0],
      proofsOnRedis,
    ],
  ] as const
) {
  Deno.test(`guarantees: each row of the tables of ${page} names a test that exists`, () => {
    const rows = [...text!.matchAll(/^\| ([^|]*?) *\|/gm)]
      .map(([, cell]) => cell!.trim())
      .filter((cell) => !heads.includes(cell) && !/^-+$/.test(cell));
    deepEqual(rows.filter((row) => !(row in tests)), [], "rows without a test");
    deepEqual(Object.keys(tests).filter((row) => !rows.includes(row)), [], "tests without a row");
    for (const [row, [file, title]] of Object.entries(tests)) {
      const text = readFileSync(join(ROOT, "tests", file), "utf8").replaceAll(/"\s*\+\s*"/g, "");
      ok(text.includes(title), `${row}: no test of ${file} is titled "${title}"`);
    }
  });
}

// Locks a file, as a writing program does, for a given time; without one until it is killed.
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { send } from "../support/child_side.ts";

const [path, ms] = process.argv.slice(2) as [string, string?];
const db = new DatabaseSync(path);
db.exec("PRAGMA busy_timeout = 5000; PRAGMA cache_size = 10; BEGIN IMMEDIATE");
db.exec("UPDATE channels SET depth = depth + 1000");
db.exec("UPDATE messages SET body = zeroblob(10000)"); // larger than its cache, so that a part is in the log
send("locked");
await sleep(Number(ms ?? 2 ** 30));
db.exec("ROLLBACK");
db.close();
send("unlocked");

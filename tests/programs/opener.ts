// Opens files that others open for the first time within the same milliseconds, and reports errors.
import process from "node:process";
import { loadSqlite, openDatabase } from "../../src/transports/sqlite/file/database.ts";
import { send } from "../support/child_side.ts";

const [folder, start, count, every] = process.argv.slice(2) as [string, string, string, string];
const sqlite = await loadSqlite();
const failures: string[] = [];
for (let n = 0; n < Number(count); n++) {
  const at = Number(start) + n * Number(every);
  await new Promise((resolve) => setTimeout(resolve, Math.max(at - Date.now() - 2, 0)));
  while (Date.now() < at); // a timer is not precise enough
  const options = { path: `${folder}/${n}.db`, isDefault: false, isFull: false };
  await openDatabase(sqlite, options, 5000).then((db) => db.close(), (error) => {
    failures.push(String(error));
  });
}
send(failures);

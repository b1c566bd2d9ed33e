import { sqliteDirectory } from "./support/sqlite_file.ts";
import { homeFaults, memoryFaults, webSocketFaults } from "./faults/home_faults.ts";
import { HomeServer } from "./faults/home_server.ts";
import { Failure, runFault } from "./faults/run_fault.ts";
import { Table } from "./faults/table.ts";
import { startHome } from "./homes/home_process.ts";

// Each fault occurs in each state, all states at the same time. With FAULT_TABLE=FILE the outcomes are written to a
// file.
const table = new Table();
Deno.test.afterAll(() => table.write());
const directory = sqliteDirectory();

const columns = [
  { title: "zmq: to a file", address: "zmq://127.0.0.1:PORT", isKept: true, faults: homeFaults },
  { title: "ws: to a file", address: "ws://127.0.0.1:PORT", isKept: true, faults: webSocketFaults },
  { title: "zmq: to memory", address: "zmq://127.0.0.1:PORT", isKept: false, faults: memoryFaults },
];
for (const { title, address, isKept, faults } of columns) {
  for (const fault of faults) {
    Deno.test(`${title}: when ${fault.title}, operations continue as far as possible`, async (t) => {
      await using home = await startHome({
        addresses: [address],
        options: { heartbeat: 1000 },
        engine: isKept ? `sqlite:${directory}/${crypto.randomUUID()}.db` : "memory:",
      });
      for (const [state, outcome] of await runFault(fault, new HomeServer(home))) {
        const isFailure = outcome instanceof Failure;
        table.add(
          `${title}: ${fault.title}`,
          state,
          isFailure ? `FAILED: ${outcome.reason}` : outcome,
        );
        await t.step(state, () => {
          if (isFailure) throw outcome.reason;
        });
      }
    });
  }
}

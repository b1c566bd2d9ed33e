// deno-lint-ignore-file no-console
//
// A dashboard: a page that shows what any number of processes measure, as it happens.
//
//   deno run -A examples/dashboard.ts                serves the page, and measures
//   deno run -A examples/dashboard.ts serve          only serves it: start several, each with its --port
//   deno run -A examples/dashboard.ts measure NAME   only measures
//   bun dashboard.ts …
//   node dashboard.ts …                              Node 22.18 or newer
//
// The processes meet in a SQLite file of this machine, or with `--connection` on a RabbitMQ (`amqp://localhost`) or a
// Redis (`redis://localhost`), where each may run on another host. They end at SIGINT (Ctrl-C) or SIGTERM.
//
// A measurement is a broadcast: everyone who listens gets it, and it is not stored. The server passes broadcasts on to
// browsers as server-sent events, over an ordinary HTTP server. If the server is killed, browsers connect again when it
// is back, and miss what was broadcast meanwhile. If a measuring process is killed, its last value stays on the page.

import { Channel, every } from "@channelts/channel";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { parseArgs } from "node:util";

interface Measurement {
  readonly source: string;
  readonly value: number;
}

const { values, positionals: [role, name] } = parseArgs({
  allowPositionals: true,
  options: { connection: { type: "string" }, port: { type: "string", default: "8000" } },
});
// Channels without the option `connection` use this variable.
if (values.connection !== undefined) process.env.CHANNELTS_URI = values.connection;
process.env.CHANNELTS_URI ??= "sqlite:";

const PAGE = `<!doctype html>
<title>Measurements</title>
<table></table>
<script>
  const rows = new Map();
  new EventSource("/events").onmessage = ({ data }) => {
    const { source, value } = JSON.parse(data);
    let row = rows.get(source);
    if (row === undefined) {
      row = document.querySelector("table").insertRow();
      row.innerHTML = "<th></th><td></td>";
      row.cells[0].textContent = source;
      rows.set(source, row);
    }
    row.cells[1].textContent = value;
  };
</script>
`;

const measurements = new Channel<Measurement>("examples: measurements");
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

await Promise.all([
  role !== "measure" && serve(Number(values.port)),
  role !== "serve" && measure(name ?? `process ${process.pid}`),
]);
await measurements.close();

/** Broadcasts a figure four times a second. */
async function measure(source: string): Promise<void> {
  const ticks = every(250);
  stop.signal.addEventListener("abort", () => void ticks[Symbol.asyncDispose]()); // ends the loop
  for await (const time of ticks) {
    const value = Math.round(50 + 50 * Math.sin(time.getTime() / 3000));
    await measurements.broadcast({ source, value });
  }
}

/** Serves the page and its events until the program is stopped. */
async function serve(port: number): Promise<void> {
  const server = createServer((request, response) => {
    if (request.url === "/events") {
      sendEvents(response).catch((error) => {
        console.error(error);
        response.destroy();
      });
    } else response.setHeader("content-type", "text/html; charset=utf-8").end(PAGE);
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  if (!stop.signal.aborted) await once(stop.signal, "abort");
  server.close();
  server.closeAllConnections();
}

/** Passes the broadcasts on to one browser (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
async function sendEvents(response: ServerResponse): Promise<void> {
  // Each browser listens on its own. If it reads too slowly, it misses measurements, and holds up no other.
  const heard = measurements.broadcasts({ buffer: 100 });
  response.once("close", () => void heard.return()); // ends the loop
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write("retry: 1000\n\n"); // ms after which the browser connects again
  for await (const measurement of heard) {
    const hasRoom = response.write(`data: ${JSON.stringify(measurement)}\n\n`);
    if (!hasRoom && !response.closed) {
      await Promise.race([once(response, "drain"), once(response, "close")]);
    }
  }
  response.end();
}

import { deepEqual, match } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { freePorts, startPrivateBroker } from "./support/broker.ts";
import { startChild } from "./support/child.ts";

const file = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url));

Deno.test("amqps:// carries values where the broker's certificate is trusted, and refuses it elsewhere", async () => {
  const [port] = await freePorts(1);
  await using _broker = await startPrivateBroker({
    conf: [
      `listeners.ssl.1 = 127.0.0.1:${port}`,
      `ssl_options.cacertfile = ${file("ca.pem")}`,
      `ssl_options.certfile = ${file("server.pem")}`,
      `ssl_options.keyfile = ${file("server.key")}`,
    ],
  });
  const program = new URL("programs/round_trip.ts", import.meta.url);
  const uri = `amqps://guest:guest@localhost:${port}`;

  const ca = file("ca.pem");
  const trusting = { DENO_CERT: ca, NODE_EXTRA_CA_CERTS: ca }; // Bun reads Node's
  await using good = startChild(program, { args: [uri], env: trusting });
  deepEqual(await good.next(), { got: "a value over TLS" });
  deepEqual(await good.exited, { code: 0, signal: null });

  await using bad = startChild(program, { args: [uri] });
  const { error } = await bad.next() as { error: string };
  match(error, /^ChannelConnectionError: .*certificate is not trusted for localhost/);
  deepEqual(error.includes("guest:guest"), false);

  const plain = uri.replace("amqps", "amqp");
  await using mistaken = startChild(program, { args: [plain], env: trusting });
  const answer = await mistaken.next() as { error: string };
  match(answer.error, /^ChannelConnectionError: .*try amqps:/);
});

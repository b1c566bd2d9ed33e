import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { Channel, ChannelConnectionError, Connection, type ConnectionOptions } from "../mod.ts";
import { rejection, within } from "./conformance/fixture.ts";
import { freePorts, startPrivateBroker } from "./support/broker.ts";
import { startChild } from "./support/child.ts";

const file = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url));

const text = (name: string) => readFileSync(file(name), "utf8");

Deno.test("amqps:// works if the broker's certificate is trusted, and rejects it otherwise", async () => {
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
  const trusting = { DENO_CERT: ca, NODE_EXTRA_CA_CERTS: ca }; // Bun reads Node's variable
  await using good = startChild(program, { args: [uri], env: trusting });
  deepEqual(await good.next(), { got: "a value over TLS" });
  deepEqual(await good.exited, { code: 0, signal: null });

  await using bad = startChild(program, { args: [uri] });
  const { error } = await bad.next() as { error: string };
  match(error, /^ChannelConnectionError: .*certificate of localhost:\d+ is not trusted/);
  deepEqual(error.includes("guest:guest"), false);

  const plain = uri.replace("amqps", "amqp");
  await using mistaken = startChild(program, { args: [plain], env: trusting });
  const answer = await mistaken.next() as { error: string };
  match(answer.error, /^ChannelConnectionError: .*try amqps:/);
});

Deno.test("certificates and names are checked as the options say, and a rejection is reported at once", async (t) => {
  const [port] = await freePorts(1);
  await using _broker = await startPrivateBroker({
    conf: [
      `listeners.ssl.1 = 127.0.0.1:${port}`,
      `ssl_options.cacertfile = ${file("ca.pem")}`,
      `ssl_options.certfile = ${file("server.pem")}`,
      `ssl_options.keyfile = ${file("server.key")}`,
      "ssl_options.verify = verify_peer",
      "ssl_options.fail_if_no_peer_cert = true",
    ],
  });
  const good = { ca: text("ca.pem"), cert: text("client.pem"), key: text("client.key") };
  const stranger = { cert: text("stranger.pem"), key: text("stranger.key") };
  const channel = (host: string, options: ConnectionOptions) =>
    new Channel<string>({
      connection: new Connection(`amqps://${host}:${port}`, options),
      retryTimeout: 20_000,
    });

  const accepted: [string, string, ConnectionOptions][] = [
    ["the CA and a client certificate", "localhost", good],
    ["one CA of several", "localhost", { ...good, ca: [text("other-ca.pem"), good.ca] }],
    ["another name for the host", "127.0.0.1", { ...good, servername: "localhost" }],
  ];
  for (const [title, host, options] of accepted) {
    await t.step(`accepted: ${title}`, async () => {
      await using ch = channel(host, options);
      await ch.put("a value");
      equal(await ch.get(), "a value");
    });
  }

  const untrusted = /certificate of \S+ is not trusted; see the options "ca" and "servername"/;
  const unwelcome = /refuses this client's certificate, or asks for one/;
  const unusable = /the option "ca", "cert" or "key" is not valid PEM/;
  const refused: [string, string, ConnectionOptions, RegExp][] = [
    ["another CA", "localhost", { ...good, ca: text("other-ca.pem") }, untrusted],
    ["the system's CAs", "localhost", { cert: good.cert, key: good.key }, untrusted],
    ["another host name", "127.0.0.1", good, untrusted],
    ["another servername", "localhost", { ...good, servername: "broker.example" }, untrusted],
    ["no client certificate", "localhost", { ca: good.ca }, unwelcome],
    ["a client certificate of another CA", "localhost", { ca: good.ca, ...stranger }, unwelcome],
    ["a key that is not the certificate's", "localhost", { ...good, key: stranger.key }, unusable],
    ["an invalid certificate", "localhost", { ...good, cert: "nonsense" }, unusable],
  ];
  for (const [title, host, options, says] of refused) {
    await t.step(`refused: ${title}`, async () => {
      const ch = channel(host, options);
      const error = await within(
        rejection(ch.put("a value"), ChannelConnectionError, { transient: false }),
        8000, // it was not retried
      );
      match(error.message, says);
      const shown = inspect(error, { depth: 9 });
      ok(!/PRIVATE|guest:/.test(shown) && !shown.includes(good.key.split("\n")[1]!), shown);
      await ch.close();
    });
  }
});

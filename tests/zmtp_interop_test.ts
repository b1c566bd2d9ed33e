/** The pipe over ZMTP with libzmq at the other end, by pyzmq: both roles, each mechanism. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ChannelConnectionError } from "../src/shared/errors.ts";
import { generateKeys } from "../src/transports/home/pipes/zmtp/key_pair.ts";
import { pause, rejection, until, within } from "./conformance/fixture.ts";
import { pyzmq, withoutPyzmq } from "./support/pyzmq.ts";
import { test } from "./support/test.ts";
import { dialed, PipeServer } from "./support/zmtp.ts";

const home = generateKeys();
const peer = generateKeys();
const stranger = generateKeys();

/**
 * The heartbeat of our ends, in ms. They send a PING at each, end the connection after two without an answer, and ask
 * libzmq to end it after three without a PING.
 */
const heartbeat = 1500;

/** More than three heartbeats, and more than the `HEARTBEAT_TIMEOUT` of the programs: an end without answers is over. */
const pinged = 5000;

const hex = (key: string) => Buffer.from(key, "base64url").toString("hex");

function python(program: string, args: readonly string[]): ChildProcess {
  const file = fileURLToPath(new URL(`programs/${program}`, import.meta.url));
  return spawn(pyzmq!.python, ["-u", file, ...args], {
    env: pyzmq!.env,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Runs a program to its end and returns the lines that it has printed. */
async function lines(program: string, args: readonly string[]): Promise<string[]> {
  const child = python(program, args);
  let output = "";
  child.stdout!.on("data", (data) => output += data);
  const code = await within(new Promise((resolve) => child.once("close", resolve)), 60_000);
  assert.equal(code, 0);
  return output.trim().split("\n");
}

test("zmtp interop: this end is a DEALER, and a ROUTER of libzmq answers", {
  skip: withoutPyzmq,
}, async () => {
  const keys = [home.publicKey, home.secretKey, peer.publicKey].map(hex);
  const child = python("zmq_router.py", keys);
  const over = new Promise((resolve) => child.once("close", resolve));
  try {
    const first = new Promise<string>((resolve) =>
      createInterface({ input: child.stdout! }).once("line", resolve)
    );
    const [plainest, plain, curve] = (await within(first)).split(" ");
    const uris: [uri: string, key?: string][] = [
      [`zmq://127.0.0.1:${plainest}?heartbeat=${heartbeat / 1000}`],
      [`zmq://user:secret@127.0.0.1:${plain}?mechanism=plain&heartbeat=0`], // sends no PING, only PONGs
      [
        `zmq://127.0.0.1:${curve}?key=${home.publicKey}&heartbeat=${heartbeat / 1000}`,
        peer.secretKey,
      ],
    ];
    const ends = await Promise.all(uris.map(([uri, key]) => within(dialed(uri, key))));
    const sizes = [0, 1, 300, 70_000];
    for (const { pipe } of ends) {
      for (const size of sizes) pipe.send("PUT", new Uint8Array(size));
    }
    await until(() => ends.every(({ frames }) => frames.length >= sizes.length));
    for (const { frames } of ends) {
      assert.deepEqual(frames.map(({ length }) => length), sizes.map((size) => size + 4));
    }
    await pause(pinged); // each end answers the other one
    assert.deepEqual(ends.flatMap(({ ends }) => ends), []);
    for (const { pipe } of ends) pipe.close();
    await until(() => ends.every(({ ends }) => ends.length === 1));

    const refused: [uri: string, text: RegExp, key?: string][] = [
      [uris[1]![0].replace("secret", "wrong"), /refused: 400; check the user name/],
      [uris[2]![0], /refused: 400; check the key/, stranger.secretKey],
      [
        uris[2]![0].replace(home.publicKey, stranger.publicKey),
        /closed the connection during the handshake; check the key|ECONNRESET; check the key/i,
        peer.secretKey,
      ],
      [
        uris[2]![0].replace(/\?.*/, ""),
        /closed the connection during the handshake; if the home has a key|ECONNRESET; if the home/i,
      ],
    ];
    for (const [uri, text, key] of refused) {
      const error = await rejection(within(dialed(uri, key)), ChannelConnectionError);
      assert.match(error.message, text);
    }
  } finally {
    child.kill();
    await over;
  }
});

test("zmtp interop: this end is a ROUTER, and a DEALER of libzmq sends", {
  skip: withoutPyzmq,
}, async () => {
  const options = { heartbeat };
  const servers = [
    await PipeServer.start(options, { isEcho: true }),
    await PipeServer.start({ heartbeat: 0, secret: "secret" }, {
      uri: "zmq://127.0.0.1:0?mechanism=plain",
      isEcho: true,
    }),
    await PipeServer.start({ ...options, keys: home, peers: [peer.publicKey] }, { isEcho: true }),
  ] as const;
  try {
    const [none, plain, curve] = servers.map(({ address }) =>
      address.replace("zmq:", "tcp:").replace(/\?.*/, "")
    ) as [string, string, string];
    const ours = [home.publicKey, peer.publicKey, peer.secretKey].map(hex);
    const strange = [home.publicKey, stranger.publicKey, stranger.secretKey].map(hex);
    const [first, second, third, wrong, unknown] = await Promise.all([
      lines("zmq_dealer.py", ["NULL", none, "20000", `${pinged}`]),
      lines("zmq_dealer.py", ["PLAIN", plain, "20000", `${pinged}`, "user", "secret"]),
      lines("zmq_dealer.py", ["CURVE", curve, "20000", `${pinged}`, ...ours]),
      lines("zmq_dealer.py", ["PLAIN", plain, "500", "0", "user", "wrong"]),
      lines("zmq_dealer.py", ["CURVE", curve, "500", "0", ...strange]),
    ]);
    const sizes = ["5", "6", "305", "70005"]; // "echo", a line feed and the message
    assert.deepEqual([first, second, third], [sizes, sizes, sizes]);
    assert.deepEqual([wrong, unknown], [["nothing"], ["nothing"]]);
    assert.equal(servers[1].peers[0]!.username, "user");
    assert.deepEqual(servers[2].peers.map(({ key }) => key), [peer.publicKey]);
    await until(() => servers.every(({ open }) => open === 0));
    assert.match(servers[1].failures.join(), /the user name or the password is wrong/);
    assert.match(servers[2].failures.join(), /the key of the other end is not admitted/);
  } finally {
    for (const server of servers) await server.close();
  }
});

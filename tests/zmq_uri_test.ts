import assert from "node:assert/strict";
import { inspect } from "node:util";
import { ChannelConfigError } from "../src/shared/errors.ts";
import {
  curveKeysOf,
  curveKeysOfSecret,
  keyBytes,
  keyText,
} from "../src/transports/home/pipes/zmtp/curve_keys.ts";
import { generateKeys } from "../src/transports/home/pipes/zmtp/key_pair.ts";
import { parseZmqUri } from "../src/transports/home/pipes/zmtp/uri.ts";

const key = "a3Hrnh-LMD4TNSGGUk3pObU_-e7t5kN4mIws1gDTyBI";

Deno.test("a zmq: URI is parsed, and its address is canonical and has no credentials", () => {
  const cases: Record<string, Partial<ReturnType<typeof parseZmqUri>>> = {
    "zmq://localhost:5555": { address: "zmq://localhost:5555", host: "localhost", port: 5555 },
    "ZMQ://Example.ORG:1": { address: "zmq://example.org:1", host: "example.org", port: 1 },
    "zmq://10.0.0.5:5555/": { address: "zmq://10.0.0.5:5555", host: "10.0.0.5" },
    "zmq://[2001:DB8::1]:5555": { address: "zmq://[2001:db8::1]:5555", host: "2001:db8::1" },
    "zmq://bücher.example:5555": { address: "zmq://xn--bcher-kva.example:5555" },
    "zmq://h:5?": { address: "zmq://h:5" },
    [`zmq://h:5?key=${key}`]: { address: `zmq://h:5?key=${key}`, key },
    [`zmq://h:5?heartbeat=0.5&key=${key}&name=a%20b`]: {
      address: `zmq://h:5?key=${key}`,
      key,
      heartbeat: 500,
      name: "a b",
    },
    "zmq://h:5?heartbeat=0": { heartbeat: 0 },
    "zmq://:p%40ss%3Aword@h:5": { address: "zmq://h:5", secret: "p@ss:word", isPlain: false },
    "zmq://:a:b@h:5": { secret: "a:b" },
    "zmq://@h:5": { address: "zmq://h:5" },
    "zmq://me:pw@h:5?mechanism=plain": {
      address: "zmq://h:5",
      username: "me",
      secret: "pw",
      isPlain: true,
    },
  };
  for (const [uri, expected] of Object.entries(cases)) {
    const parsed = parseZmqUri(uri);
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(parsed[name as keyof typeof parsed], value, `${uri}: ${name}`);
    }
    assert.equal(parseZmqUri(parsed.address).address, parsed.address);
  }
  assert.equal(parseZmqUri("zmq://0.0.0.0:0", true).port, 0);
  assert.deepEqual(parseZmqUri("zmq://h:5"), {
    address: "zmq://h:5",
    host: "h",
    port: 5,
    isPlain: false,
  });
});

Deno.test("a zmq: URI that is wrong is refused, and the error says why and shows no secret", () => {
  const cases: Record<string, RegExp> = {
    "zmq://h": /found no port/,
    "zmq://h:": /found no port/,
    "zmq://h:0": /found a bad port/,
    "zmq://h:65536": /found a bad port/,
    "zmq://:hunter2@h:x": /found a bad port/,
    "zmq://:5555": /found a bad host/,
    "zmq://[::g]:5": /found a bad host/,
    "zmq:h:5": /expected zmq:\/\/HOST:PORT/,
    "zmq://h:5/path": /expected zmq:\/\/HOST:PORT/,
    "zmq://h:5#x": /expected zmq:\/\/HOST:PORT/,
    "zmq://:hunter2@x@h:5": /expected zmq:\/\/HOST:PORT/,
    "zmq://:hunter2 @h:5": /expected zmq:\/\/HOST:PORT/,
    "zmq://:hunter2%@h:5": /found a bad percent-escape/,
    "zmq://hunter2:hunter2@h:5": /found a user name/,
    "zmq://h:5?key=": /found a bad key/,
    [`zmq://h:5?key=${key}=`]: /found a bad key/,
    [`zmq://h:5?key=${key.slice(0, -1)}J`]: /found a bad key/, // bits that no key has
    [`zmq://h:5?key=${key}&key=${key}`]: /the parameter key a second time/,
    [`zmq://:hunter2@h:5?mechanism=plain&key=${key}`]: /found a key with mechanism=plain/,
    "zmq://h:5?mechanism=plain": /found mechanism=plain without a secret/,
    "zmq://h:5?mechanism=curve": /found another mechanism/,
    "zmq://h:5?hunter2=1": /found an unknown parameter/,
    "zmq://h:5?heartbeat=-1": /found a bad heartbeat/,
    "zmq://h:5?heartbeat=1e3": /found a bad heartbeat/,
    "zmq://h:5?heartbeat=3601": /found a bad heartbeat/,
  };
  for (const [uri, text] of Object.entries(cases)) {
    assert.throws(() => parseZmqUri(uri), (error) => {
      assert.ok(error instanceof ChannelConfigError, uri);
      assert.match(error.message, text);
      if (!uri.includes("?hunter2")) assert.doesNotMatch(inspect(error), /hunter2/, uri);
      return true;
    });
  }
});

Deno.test("keys: generated pairs are valid, and a key is written in one way", () => {
  const { publicKey, secretKey } = generateKeys();
  assert.match(publicKey, /^[\w-]{43}$/);
  assert.notEqual(publicKey, generateKeys().publicKey);
  assert.equal(keyText(curveKeysOf(keyBytes(secretKey)!).publicKey), publicKey);
  // RFC 7748, section 6.1: the keys of Alice.
  const hex = (text: string) =>
    Uint8Array.from(text.match(/../g)!, (digits) => parseInt(digits, 16));
  const secret = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const alice = curveKeysOf(secret);
  assert.deepEqual(
    alice.publicKey,
    hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
  );
  for (
    const wrong of ["", key.slice(1), `${key}=`, `${key.slice(0, -1)}J`, key.replace("-", "+")]
  ) {
    assert.equal(keyBytes(wrong), undefined, wrong);
  }
});

Deno.test("keys: those of a secret are always the same, and differ from those of another", async () => {
  const [one, same, other] = await Promise.all(
    ["secret", "secret", "Secret"].map(async (secret) =>
      keyText((await curveKeysOfSecret(secret)).publicKey)
    ),
  );
  assert.equal(one, same);
  assert.notEqual(one, other);
});

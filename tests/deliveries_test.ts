// The broker's frames are read alike wherever a chunk ends and whatever arrives between the frames of a message.
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Delivery, DeliveryReader } from "../src/transports/amqp/connection/message_frames.ts";

const utf8 = new TextEncoder();
const short = (text: string) => [utf8.encode(text).length, ...utf8.encode(text)];
const uint32 = (
  value: number,
) => [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
const frame = (type: number, channel: number, payload: Iterable<number>) => {
  const bytes = [...payload];
  return [type, channel >> 8, channel & 255, ...uint32(bytes.length), ...bytes, 0xce];
};
const deliver = (channel: number, tag: string, delivery: number, redelivered = 0) =>
  frame(1, channel, [
    ...[0, 60, 0, 60, ...short(tag), 0, 0, 0, 1, ...uint32(delivery), redelivered],
    ...[...short(""), ...short("a queue")],
  ]);
const head = (channel: number, size: number, flags = 0, properties: number[] = []) =>
  frame(2, channel, [
    0,
    60,
    0,
    0,
    0,
    0,
    0,
    0,
    ...uint32(size),
    flags >> 8,
    flags & 255,
    ...properties,
  ]);
const body = (channel: number, bytes: number[]) => frame(3, channel, bytes);
const confirm = (delivery: number) =>
  frame(1, 3, [0, 60, 0, 80, 0, 0, 0, 0, ...uint32(delivery), 0]);

/** Returns everything that is read from some bytes, in order, with the bytes cut into chunks of `size`. */
function readAll(bytes: number[], size: number, largest = 4096): unknown[] {
  const seen: unknown[] = [];
  const passed: number[] = [];
  const pass = (frames: Uint8Array) => {
    for (let at = 0; at < frames.length;) {
      const end = at + 8 + new DataView(frames.buffer, frames.byteOffset + at).getUint32(3);
      assert.ok(end <= frames.length, "the client got an incomplete frame");
      passed.push(...frames.subarray(at, end));
      seen.push(`client ${frames[at]} of ${frames[at + 2]}, ${end - at} bytes`);
      at = end;
    }
  };
  const deliveries = new DeliveryReader(pass, largest);
  const take = (name: string) => (delivery: Delivery) => {
    const { deliveryTag, redelivered, properties, body } = delivery;
    const { headers } = properties;
    const copied = headers === undefined ? properties : { ...properties, headers: { ...headers } };
    seen.push([name, deliveryTag, redelivered, { ...copied }, [...body!]]);
  };
  assert.deepEqual([deliveries.add(take("first")), deliveries.add(take("second"))], ["01", "02"]);
  deliveries.delete(deliveries.add(take("ended")));
  for (let at = 0; at < bytes.length; at += size) {
    deliveries.read(Buffer.from(bytes.slice(at, at + size)));
  }
  return seen;
}

const table = [
  ...[...short("x-other"), 0x46, ...uint32(8), ...short("in"), 0x49, ...uint32(5)].slice(0, -1),
  5,
  ...[...short("channelts-attempts"), 0x49, ...uint32(3)],
  ...[...short("channelts-reason"), 0x53, ...uint32(3), ...utf8.encode("töt").subarray(0, 3)],
  ...[...short("channelts-copy"), 0x6c, 0, 0, 0, 0, ...uint32(7)],
];

const stream = [
  ...confirm(1),
  ...deliver(1, "1", 10),
  ...head(1, 3, 0x8000 | 0x1000 | 0x0080, [...short("application/cbor"), 2, ...short("an id")]),
  ...confirm(2), // of another AMQP channel, between the frames
  ...body(1, [1, 2]),
  ...deliver(2, "2", 11, 1),
  ...body(1, [3]),
  ...head(2, 0, 0xffff, [
    ...[...short("text/plain"), ...short("gzip"), ...uint32(table.length), ...table, 2, 9],
    ...[...short("correlation"), ...short("reply"), ...short("5000"), ...short("")],
    ...[0, 0, 0, 0, 0, 0, 0, 0, ...short("type"), ...short("guest"), ...short("app"), ...short("")],
  ]),
  ...deliver(1, "amq.ctag-1", 12), // of consumers that belong to the client or have ended
  ...head(1, 1),
  ...body(1, [9]),
  ...deliver(1, "3", 13),
  ...head(1, 0),
  ...deliver(1, "1", 14),
  ...head(1, 1),
  ...body(1, [4]),
  ...confirm(3),
];

Deno.test("deliveries: frames are read alike wherever a chunk ends", () => {
  const whole = readAll(stream, stream.length);
  assert.deepEqual(whole.filter((each) => typeof each !== "string"), [
    ["first", 2 ** 32 + 10, false, { contentType: "application/cbor", messageId: "an id" }, [
      1,
      2,
      3,
    ]],
    ["second", 2 ** 32 + 11, true, {
      contentType: "text/plain",
      headers: { "channelts-attempts": 3, "channelts-reason": "tö", "channelts-copy": 7 },
      expiration: "5000",
      messageId: "",
    }, []],
    ["first", 2 ** 32 + 14, false, {}, [4]],
  ]);
  assert.deepEqual(
    whole.map((each) => typeof each === "string" ? each.split(",")[0] : (each as unknown[])[0]),
    [
      ...["client 1 of 3", "client 1 of 3", "first", "second"],
      ...["client 1 of 1", "client 2 of 1", "client 3 of 1"],
      ...["client 1 of 1", "client 2 of 1", "first", "client 1 of 3"],
    ],
  );
  for (let size = 1; size < stream.length; size++) {
    assert.deepEqual(readAll(stream, size), whole, `in chunks of ${size}`);
  }
});

Deno.test("deliveries: bytes that are not AMQP are rejected and take no memory", () => {
  const refused = (bytes: number[], message: RegExp | typeof RangeError) => {
    for (const size of [1, 50, bytes.length]) assert.throws(() => readAll(bytes, size), message);
  };
  refused([...deliver(1, "1", 1), ...body(1, [1])], /out of order/);
  refused([...deliver(1, "1", 1), ...head(1, 2), ...head(1, 2)], /out of order/);
  refused([...deliver(1, "1", 1), ...head(1, 1), ...body(1, [1, 2])], RangeError);
  refused([...deliver(1, "1", 1).slice(0, -1), 0], /without an end/);
  refused([...deliver(1, "1", 1), ...head(1, 0, 0x8000, [200, 1])], /without an end/);
  refused([...deliver(1, "1", 1), ...head(1, 0, 0x2000, uint32(2 ** 30))], /without an end/);
  refused(
    [1, 0, 1, ...uint32(2 ** 31), 0, 60, 0, 60].concat(Array(50).fill(0)),
    /frame of \d+ bytes/,
  );
});

Deno.test("deliveries: malformed headers are read as far as possible", () => {
  const read = (bytes: number[]) => {
    const stream = [
      ...deliver(1, "1", 1),
      ...head(1, 0, 0x2000, [...uint32(bytes.length), ...bytes]),
    ];
    const [[, , , { headers }]] = readAll(stream, stream.length) as [
      [0, 0, 0, { headers: unknown }],
    ];
    return headers;
  };
  const attempts = [...short("channelts-attempts"), 0x62, 4];
  for (
    const bad of [
      [...short("x"), 0x53, ...uint32(2 ** 31)],
      [...short("x"), 0x53, 0],
      [...short("x"), 0x3f, ...short("channelts-copy"), 0x62, 1],
      [200],
      [...short("channelts-copy"), 0x6c, 0, 0, 0, 0, 0, 0, 0],
    ]
  ) {
    assert.deepEqual(read([...attempts, ...bad]), {
      "channelts-attempts": 4,
    });
  }
});

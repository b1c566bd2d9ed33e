import assert from "node:assert/strict";
import fc from "fast-check";
import { inspect } from "node:util";
import { ChannelConfigError } from "../src/shared/errors.ts";
import { parseAmqpUri } from "../src/transports/amqp/uri.ts";
import { cpuTime } from "./support/cpu_time.ts";

const canonicalAddress = (uri: string) => single(uri).address;

function rejection(uri: string): ChannelConfigError {
  try {
    single(uri);
  } catch (error) {
    assert.ok(error instanceof ChannelConfigError, inspect(error));
    return error;
  }
  assert.fail(`${uri} was accepted`);
}

/** Returns the parsed form of a URI with one host. */
function single(uri: string) {
  const { endpoints: [endpoint, ...others], ...rest } = parseAmqpUri(uri);
  assert.equal(others.length, 0);
  return { ...rest, ...endpoint! };
}

const GUEST = { tls: false, username: "guest", password: "guest", vhost: "/", port: 5672 };

Deno.test("an AMQP URI with only a host gets every default", () => {
  const expected = { ...GUEST, host: "host", address: "amqp://host:5672/%2F" };
  for (
    const uri of ["amqp://host", "amqp://host/", "AMQP://HOST", "amqp://host:", "amqp://host?"]
  ) {
    assert.deepEqual(single(uri), expected, uri);
  }
});

Deno.test("amqps means TLS and port 5671", () => {
  const { tls, port, address } = single("amqps://host");
  assert.deepEqual({ tls, port, address }, {
    tls: true,
    port: 5671,
    address: "amqps://host:5671/%2F",
  });
  assert.equal(single("amqps://host:5672").port, 5672);
});

// The list in appendix A of the specification, without the URIs that name no host.
for (
  const [uri, username, password, host, port, vhost] of [
    ["amqp://user:pass@host:10000/vhost", "user", "pass", "host", 10000, "vhost"],
    ["amqp://user%61:%61pass@ho%61st:10000/v%2fhost", "usera", "apass", "hoast", 10000, "v/host"],
    ["amqp://host", "guest", "guest", "host", 5672, "/"],
    ["amqp://host/%2f", "guest", "guest", "host", 5672, "/"],
    ["amqp://host/%2F", "guest", "guest", "host", 5672, "/"],
    ["amqp://[::1]", "guest", "guest", "::1", 5672, "/"],
  ] as const
) {
  Deno.test(`the specification's ${uri} is parsed as it says`, () => {
    const parsed = single(uri);
    assert.deepEqual(
      [parsed.username, parsed.password, parsed.host, parsed.port, parsed.vhost],
      [username, password, host, port, vhost],
    );
  });
}

Deno.test("a user name without a password gets the password guest, and an empty password stays empty", () => {
  assert.equal(single("amqp://bob@host").username, "bob");
  assert.equal(single("amqp://bob@host").password, "guest");
  assert.equal(single("amqp://bob:@host").password, "");
  assert.equal(single("amqp://:@host").username, "");
});

Deno.test("only the first colon separates user name and password", () => {
  const { username, password } = single("amqp://a%3Ab:c:d%40%2F%3F%23é@host");
  assert.deepEqual([username, password], ["a:b", "c:d@/?#é"]);
});

Deno.test("an IPv6 address has no brackets in the host and has them in the address", () => {
  const { host, port, address } = single("amqp://[2001:DB8:0:0:0:0:0:1]:5673/v");
  assert.deepEqual([host, port, address], [
    "2001:db8::1",
    5673,
    "amqp://[2001:db8::1]:5673/v",
  ]);
});

Deno.test("host names that URL would parse as numbers, and names with underscores, stay unchanged", () => {
  for (const host of ["rabbit.1", "0x7f.1", "my_rabbit-1", "192.168.35.10", "rabbit."]) {
    assert.equal(single(`amqp://${host}`).host, host);
  }
});

Deno.test("a host name with other letters is converted to the form that a resolver understands", () => {
  assert.equal(single("amqp://Größe.example").host, "xn--gre-6ka8i.example");
  assert.equal(single("amqp://Gr%C3%B6%C3%9Fe.example").host, "xn--gre-6ka8i.example");
});

Deno.test("a virtual host is decoded and never parsed as a path", () => {
  for (const [path, vhost] of [["a%20b", "a b"], ["+", "+"], ["..", ".."], ["%C3%A9", "é"]]) {
    assert.equal(single(`amqp://host/${path}`).vhost, vhost);
  }
});

Deno.test("URIs that differ in credentials, case, defaults or parameters have the same address", () => {
  for (
    const uri of [
      "amqp://host/%2f",
      "amqp://u:p@HOST:5672/",
      "Amqp://host:05672?heartbeat=3",
      "amqp://ho%73t",
    ]
  ) assert.equal(canonicalAddress(uri), "amqp://host:5672/%2F", uri);
  assert.equal(canonicalAddress("amqp://u:p@host/v%2Fw%20é"), "amqp://host:5672/v%2Fw%20%C3%A9");
});

Deno.test("the address of an address is the address itself", () => {
  for (const uri of ["amqps://u:p@[::1]/a%2Fb%3F%23%40%25", "amqp://host", "amqp://é/é"]) {
    assert.equal(canonicalAddress(canonicalAddress(uri)), canonicalAddress(uri));
  }
});

Deno.test("the query sets the heartbeat, the limits and the connection's name", () => {
  const expected = { heartbeat: 30, frameMax: 131072, channelMax: 2047, name: "my app+é" };
  for (const [frame, channel] of [["frame_max", "channel_max"], ["frameMax", "channelMax"]]) {
    const { heartbeat, frameMax, channelMax, name } = single(
      `amqp://host?heartbeat=30&${frame}=131072&${channel}=2047&name=my+app%2B%C3%A9`,
    );
    assert.deepEqual({ heartbeat, frameMax, channelMax, name }, expected);
  }
  assert.equal(single("amqp://host?heartbeat=0").heartbeat, 0);
});

for (
  const [uri, message] of [
    ["http://host", /: expected amqp:/],
    ["amqp:host", /: expected amqp:/],
    ["host:5672", /: expected amqp:/],
    ["", /: expected amqp:/],
    ["amqp://", /no host/],
    ["amqp:///vhost", /no host/],
    ["amqp://user:pass@", /no host/],
    ["amqp://:5672", /no host/],
    ["amqp://host:0", /port, expected an integer from 1 to 65535/],
    ["amqp://host:65536", /port, expected/],
    ["amqp://host:-1", /port, expected/],
    ["amqp://host:5672x", /port, expected/],
    ["amqp://host:1e3", /port, expected/],
    ["amqp://host:%35", /port, expected/],
    ["amqp://::1", /no host/],
    ["amqp://fe80::1", /port, expected .*; write an IPv6 address in brackets, \[::1\]$/],
    ["amqp://[::1", /bad host/],
    ["amqp://[::1]x", /bad host/],
    ["amqp://[::g]", /bad host/],
    ["amqp://[]", /bad host/],
    ["amqp://ho%2Fst", /bad host/],
    ["amqp://ho%40st", /bad host/],
    ["amqp://ho\\st", /bad host/],
    ["amqp://ho st", /space.* expected it percent-encoded/],
    ["amqp://host\n", /space.* expected it percent-encoded/],
    ["amqp://host/\u0000", /space.* expected it percent-encoded/],
    ["amqp://host/\ud800", /surrogate.* expected it percent-encoded/],
    ["amqp://host/a/b", /several segments, expected one .* as %2F/],
    ["amqp://host/a/", /several segments/],
    ["amqp://host//", /several segments/],
    [`amqp://host/${"é".repeat(128)}`, /more than 255 bytes/],
    ["amqp://host#x", /fragment, expected none; write # as %23/],
    ["amqp://host/%zz", /percent-escape in the virtual host, expected %XX/],
    ["amqp://host/%ff", /percent-escape in the virtual host/],
    ["amqp://%@host", /percent-escape in the user name/],
    ["amqp://u:%e9@host", /percent-escape in the password/],
    ["amqp://ho%st", /percent-escape in the host/],
    ["amqp://host?name=%", /percent-escape in the parameter name/],
    ["amqp://host?heartbeat=x", /bad heartbeat, expected an integer from 0 to 65535/],
    ["amqp://host?heartbeat", /bad heartbeat/],
    ["amqp://host?heartbeat=", /bad heartbeat/],
    ["amqp://host?heartbeat=1.5", /bad heartbeat/],
    ["amqp://host?heartbeat=65536", /bad heartbeat/],
    ["amqp://host?frame_max=4096", /bad frame_max, expected an integer from 8192/],
    ["amqp://host?channelMax=-1", /bad channelMax/],
    ["amqp://host?heartbeat=1&heartbeat=2", /heartbeat a second time/],
    ["amqp://host?frame_max=8192&frameMax=8192", /frameMax a second time/],
    ["amqp://host?verify=none", /unknown parameter, expected heartbeat, frame_max,/],
    ["amqp://host?__proto__=1", /unknown parameter/],
    ["amqp://u:p@ss@host", /a misplaced @, .* as %40/],
    ["amqp://u:p/x@host", /a misplaced @, .* \/ as %2F/],
    ["amqp://u:12/x@host", /a misplaced @/],
    ["amqp://u:p?x@host", /a misplaced @, .* \? as %3F/],
    ["amqp://u:p#x@host", /a misplaced @, .* # as %23/],
    ["amqp://host/a@b", /a misplaced @/],
  ] as const
) {
  Deno.test(`the AMQP URI ${JSON.stringify(uri.slice(0, 40))} is rejected with a reason`, () => {
    const error = rejection(uri);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\.$/);
  });
}

Deno.test("no rejection contains a password, in its message, its cause or elsewhere", () => {
  for (
    const uri of [
      "http://u:hunter2@host",
      "amqp:u:hunter2@host",
      "amqp://u:hunter2@",
      "amqp://u:hunter2@host:x",
      "amqp://u:hunter2@host/a/b",
      "amqp://u:hunter2@host#f",
      "amqp://u:hunter2@host?no=1",
      "amqp://u:hunter2@host?password=hunter2",
      "amqp://u:hunter2%@host",
      "amqp://u:hunter2@ho st",
      "amqp://u:hunter2@[::g]",
      "amqp://u:p@hunter2@host",
      "amqp://u:p/hunter2@host",
      "amqp://u:5/hunter2@host",
      "amqp://u:p?hunter2@host",
      "amqp://u:p#hunter2@host",
      "amqp://u:hunter2",
      "amqp://u:hunter2/",
      "amqp://u:hunter2%40host",
    ]
  ) {
    const error = rejection(uri);
    assert.doesNotMatch(inspect(error, { showHidden: true, depth: 9 }), /hunter2/, uri);
    assert.doesNotMatch(error.message, /hunter2/, uri);
    assert.equal(error.cause, undefined, uri);
  }
});

Deno.test("a rejection shows the rest of the URI", () => {
  assert.match(
    rejection("amqp://u:p@host:x/v").message,
    /^cannot use the URI amqp:\/\/\*\*\*@host:x\/v: /,
  );
});

Deno.test("several hosts are a list in their order, without repetitions, each with a port", () => {
  const { endpoints, address, username, password, vhost } = parseAmqpUri(
    "amqp://u,1:p,2@A,b:5673,[::1]:5674,a:5672,[fe80::1]/v,w?heartbeat=3",
  );
  assert.deepEqual(endpoints, [
    { host: "a", port: 5672 },
    { host: "b", port: 5673 },
    { host: "::1", port: 5674 },
    { host: "fe80::1", port: 5672 },
  ]);
  assert.equal(address, "amqp://a:5672,b:5673,[::1]:5674,[fe80::1]:5672/v%2Cw");
  assert.deepEqual([username, password, vhost], ["u,1", "p,2", "v,w"]);
  assert.deepEqual(parseAmqpUri(address).endpoints, endpoints);
  assert.equal(parseAmqpUri("amqps://a,b").address, "amqps://a:5671,b:5671/%2F");
});

Deno.test("an invalid member of a list is rejected without showing a password", () => {
  for (
    const hosts of ["a,", ",a", "a,,b", ",", "a,b:x", "a,b:0", "a:1:2,b", "a,[::1", "a, b", "a,:5"]
  ) {
    for (const uri of [`amqp://${hosts}`, `amqp://user:hunter2@${hosts}/v`]) {
      assert.throws(() => parseAmqpUri(uri), (error) => {
        assert.ok(error instanceof ChannelConfigError, `${uri}: ${error}`);
        assert.ok(!inspect(error).includes("hunter2"), inspect(error));
        return true;
      }, uri);
    }
  }
  for (const uri of ["amqp://user:hunter2,b", "amqp://a,user:hunter2", "amqp://a:1,hunter2:x:y"]) {
    assert.throws(() => parseAmqpUri(uri), (error) => !String(error).includes(":hunter2"));
  }
});

/** Random hosts of a list, with their parsed form. */
const members = fc.tuple(
  fc.constantFrom(
    ["a", "a"],
    ["B.example", "b.example"],
    ["10.0.0.1", "10.0.0.1"],
    ["[::1]", "::1"],
    ["[2001:DB8:0::1]", "2001:db8::1"],
    ["my_host-1", "my_host-1"],
    ["gr%C3%B6", "xn--gr-gka"],
  ),
  fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
);

/**
 * Random text of the characters that separate a URI's parts, with a single letter, so that it contains no
 * percent-escape by chance.
 */
const secrets = fc.array(fc.constantFrom(..."z,:@/?#[]%& =+ü"), { minLength: 1 }).map((letters) =>
  letters.join("")
);

Deno.test("any list is parsed to its endpoints, and its address parses to the same endpoints", () => {
  fc.assert(
    fc.property(
      fc.array(members, { minLength: 1, maxLength: 6 }),
      secrets,
      secrets,
      fc.boolean(),
      (list, username, password, tls) => {
        const scheme = tls ? "amqps" : "amqp";
        const endpoints = new Map(list.map(([[, host], given]) => {
          const port = given ?? (tls ? 5671 : 5672);
          return [`${host} ${port}`, { host, port }];
        }));
        const hosts = list.map(([[text], port]) => port === undefined ? text : `${text}:${port}`);
        const user = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`;
        const parsed = parseAmqpUri(`${scheme}://${user}@${hosts}/v`);
        assert.deepEqual(parsed.endpoints, [...endpoints.values()]);
        assert.deepEqual([parsed.username, parsed.password], [username, password]);
        const { username: _, password: __, ...again } = parseAmqpUri(parsed.address);
        const { username: _u, password: _p, ...first } = parsed;
        assert.deepEqual(again, first);
      },
    ),
  );
});

/** A password that was not percent-encoded may contain a URI's separators. All of it must stay hidden. */
Deno.test("no error of a list shows a password, and every error is a ChannelConfigError", () => {
  const pieces = fc.constantFrom(
    ...[
      "a",
      "b:1",
      "[::1]",
      "[",
      "]",
      ",",
      ",,",
      ":",
      ":0",
      ":99999",
      "/",
      "//",
      "?",
      "#",
      "%",
      " ",
    ],
    ...["%2C", "%zz", "é", "\ud800", "=", "&", "\n", "name=", "amqp://"],
  );
  const text = fc.array(pieces, { maxLength: 8 }).map((some) => some.join(""));
  fc.assert(
    fc.property(text, text, text, (before, inside, after) => {
      const uri = `amqp://${before}u:hunter2${inside}@${after}`;
      try {
        const { address, endpoints } = parseAmqpUri(uri);
        assert.ok(endpoints.length > 0);
        assert.ok(!address.includes("hunter2"), address);
      } catch (error) {
        assert.ok(error instanceof ChannelConfigError, `${uri}: ${inspect(error)}`);
        assert.ok(!inspect(error).includes("hunter2"), inspect(error));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("a comma in a user name or password does not separate hosts, encoded or not", () => {
  for (const uri of ["amqp://a:1,b:2@c/v", "amqp://a:1%2Cb%3A2@c/v"]) {
    const { endpoints, username, password } = parseAmqpUri(uri);
    assert.deepEqual([username, password], ["a", "1,b:2"]);
    assert.deepEqual(endpoints, [{ host: "c", port: 5672 }]);
  }
});

Deno.test("the time to parse a long list grows linearly with its length", () => {
  const hosts = Array.from({ length: 20_000 }, (_, i) => `host${i}:${i + 1}`);
  const begin = cpuTime();
  assert.equal(parseAmqpUri(`amqp://${hosts}`).endpoints.length, hosts.length);
  assert.throws(() => parseAmqpUri(`amqp://${hosts},`), /empty host/);
  assert.throws(() => parseAmqpUri(`amqp://${",".repeat(100_000)}`), /empty host/);
  assert.ok(cpuTime() - begin < 2000);
});

import assert from "node:assert/strict";
import { ChannelConfigError } from "../src/shared/errors.ts";
import { parseRedisUri } from "../src/transports/redis/uri.ts";

Deno.test("a redis: URI is parsed, and its address is canonical and has no credentials", () => {
  const cases: Record<string, Partial<ReturnType<typeof parseRedisUri>>> = {
    "redis://localhost": { address: "redis://localhost:6379/0", tls: false, heartbeat: 30 },
    "REDISS://Example.ORG:1/2": { address: "rediss://example.org:1/2", tls: true, database: 2 },
    "redis://[2001:DB8::1]:7": {
      address: "redis://[2001:db8::1]:7/0",
      endpoints: [{ host: "2001:db8::1", port: 7 }],
    },
    "redis://bücher.example": { address: "redis://xn--bcher-kva.example:6379/0" },
    "redis://a:1,b,a:1": { address: "redis://a:1,b:6379/0" },
    "redis://a,b?cluster": { address: "redis://a:6379,b:6379/0?cluster", isCluster: true },
    "redis://me:p%40ss@h": { address: "redis://h:6379/0", username: "me", password: "p@ss" },
    "redis://h?name=a+b&heartbeat=0&eviction=allow": { name: "a b", heartbeat: 0, mayEvict: true },
  };
  for (const [uri, expected] of Object.entries(cases)) {
    const parsed = parseRedisUri(uri);
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(parsed[name as keyof typeof parsed], value, `${uri}: ${name}`);
    }
    assert.equal(parseRedisUri(parsed.address).address, parsed.address);
  }
});

Deno.test("a redis: URI that is wrong is refused, and the error says why and shows no password", () => {
  const cases: Record<string, RegExp> = {
    "http://h": /: expected redis:/,
    "redis://": /no host, expected redis:\/\/host$/,
    "redis://:hunter2@": /no host/,
    "redis://a,,b": /an empty host in a list, expected redis:\/\/a,b,c$/,
    "redis://::1": /no host/,
    "redis://fe80::1": /a bad port, .*; write an IPv6 address in brackets, \[::1\]$/,
    "redis://:hunter2@h:0": /a bad port/,
    "redis://h:65536": /a bad port/,
    "redis://h:x": /a bad port/,
    "redis://[::g]": /a bad host/,
    "redis://[::1": /a bad host/,
    "redis://h%2Fx": /a bad host/,
    "redis://h%": /a bad percent-escape in the host/,
    "redis://:hunter2%@h": /a bad percent-escape in the password/,
    "redis://%@h": /a bad percent-escape in the user name/,
    "redis://h?name=%": /a bad percent-escape in the parameter name/,
    "redis://h x": /a space/,
    "redis://h#x": /a fragment/,
    "redis://:hun@ter2@h": /a misplaced @/,
    "redis://h/x": /a bad path/,
    "redis://h/1?cluster": /number of a database with the parameter cluster/,
    "redis://h?cluster=no": /a bad value of the parameter cluster/,
    "redis://h?heartbeat=65536": /a bad heartbeat/,
    "redis://h?eviction=": /a bad eviction/,
    "redis://h?name=a&name=b": /the parameter name a second time/,
    "redis://h?x=1": /an unknown parameter/,
  };
  for (const [uri, message] of Object.entries(cases)) {
    assert.throws(() => parseRedisUri(uri), (error: Error) => {
      assert.ok(error instanceof ChannelConfigError);
      assert.match(error.message, message, uri);
      assert.doesNotMatch(error.message, /hunter2/, uri);
      return true;
    });
  }
});

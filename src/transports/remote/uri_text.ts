/** Throws an error that says what was found and expected, without any piece of the URI: it may belong to a password. */
export type Fail = (problem: string) => never;

/** An address on which a server listens. */
export interface Endpoint {
  /** A name or an IP address; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
}

const hostAndPort = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/;

/** Returns the endpoint as it is written in a URI: `host:5672`. */
export function shownEndpoint({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Checks what the URI of a broker or a server must not contain, whatever its scheme. */
export function checkUriText(uri: string, fail: Fail): void {
  if (/[\s\p{Cc}\p{Cs}]/u.test(uri)) {
    fail(
      "found a space, a control character or half a surrogate pair, expected it percent-encoded",
    );
  }
  if (!/^[^/]*\/\/(?:[^/?#@]*@)?[^@]*$/.test(uri)) {
    fail(
      "found a misplaced @, expected at most one, before the host; " +
        "write @ elsewhere as %40, and in a password / as %2F, ? as %3F, # as %23",
    );
  }
  if (uri.includes("#")) fail("found a fragment, expected none; write # as %23");
}

/** Returns the endpoints of the list `a,b:5673,[::1]`, without duplicates. @param scheme for errors, without its colon */
export function endpointsOf(
  list: string,
  scheme: string,
  defaultPort: number,
  fail: Fail,
): Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const member of list.split(",")) {
    if (member === "" && list !== "") {
      fail(`found an empty host in a list, expected ${scheme}://a,b,c`);
    }
    const [, encoded, digits = ""] = hostAndPort.exec(member) ?? [];
    if (encoded === "") fail(`found no host, expected ${scheme}://host`);
    const host = encoded === undefined ? undefined : canonicalHost(decoded(encoded, "host", fail));
    if (host === undefined) {
      fail("found a bad host, expected a name, an IPv4 address or an [IPv6 address]");
    }
    const port = digits === "" ? defaultPort : integerOf(digits, 1, 65_535);
    if (port === undefined) {
      fail(
        "found a bad port, expected an integer from 1 to 65535; write an IPv6 address in brackets, [::1]",
      );
    }
    const endpoint = { host, port };
    endpoints.set(shownEndpoint(endpoint), endpoint);
  }
  return [...endpoints.values()];
}

/** Returns the host in lower case, an international name in Punycode; undefined if it is not a host. */
export function canonicalHost(host: string): string | undefined {
  // URL would read some names as numbers.
  if (/^[\w.-]+$/.test(host)) return host.toLowerCase();
  if (!/^\[.*\]$/.test(host) && !/^[\w.\-\P{ASCII}]+$/u.test(host)) return undefined;
  try {
    return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, "");
  } catch {
    return undefined;
  }
}

/** Returns a part of a URI without its percent-encoding. */
export function decoded(text: string, part: string, fail: Fail): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail(`found a bad percent-escape in the ${part}, expected %XX for each byte of UTF-8`);
  }
}

/** Returns the integer that the digits are; undefined if it is out of range. */
export function integerOf(digits: string, least: number, most: number): number | undefined {
  const number = Number(digits);
  return /^\d+$/.test(digits) && number >= least && number <= most ? number : undefined;
}

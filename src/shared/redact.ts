const PARAMETER = /([?&])([^=?&#]*)=[^&#]*/g;
const SECRET = /pass|secret|token|key|auth/i;

/**
 * Returns a URI without its credentials: `***@` in place of `user:password@`, and `***` in place of the value of a
 * query parameter that is named like a secret.
 *
 * It never throws, and hides too much of a malformed URI rather than too little. Everything up to the last `@` may be a
 * password in which `@`, `/`, `?` or `#` was not percent-encoded. Text after a host's colon that is no port may be a
 * password whose host is missing.
 *
 * @example
 * ```ts ignore
 * withoutCredentials("amqp://user:p@ss@host/v"); // "amqp://***@host/v"
 * ```
 */
export function withoutCredentials(uri: string): string {
  const prefix = /^\s*[a-z][a-z0-9+.-]*:\/\//i.exec(uri)?.[0] ?? "";
  const rest = uri.slice(prefix.length);
  const at = rest.lastIndexOf("@");
  if (at >= 0) return hideSecrets(`${prefix}***${rest.slice(at)}`);

  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? "";
  const encodedAt = authority.lastIndexOf("%40");
  if (encodedAt >= 0) return hideSecrets(`${prefix}***${rest.slice(encodedAt)}`);

  const colon = authority.indexOf(":");
  if (prefix !== "" && colon >= 0 && !authority.split(",").every(isHostAndPort)) {
    return `${prefix}${authority.slice(0, colon)}:***`;
  }
  return hideSecrets(uri);
}

function isHostAndPort(text: string): boolean {
  const port = /^(?:\[[\da-f:.]*\]|[^:[]*)(?::(\d*))?$/i.exec(text);
  return port !== null && Number(port[1] ?? 0) <= 65535;
}

function hideSecrets(uri: string): string {
  return uri.replace(
    PARAMETER,
    (whole, mark, name) => SECRET.test(name) ? `${mark}${name}=***` : whole,
  );
}

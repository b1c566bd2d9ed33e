/** What is known of a failed attempt to connect. */
export interface ConnectAdvice {
  /** What to try; absent if the reason is not known. */
  readonly advice?: string;
  /** Whether waiting may help. */
  readonly isTransient: boolean;
}

/**
 * Says what to try after the runtime could not connect, and whether waiting may help.
 *
 * @param reason the text of the runtime's error
 * @param host the name of the host
 * @param here the host and the port
 * @param about what should listen there, and with TLS the beginning of a URI without it
 */
export function connectAdvice(
  reason: string,
  host: string,
  here: string,
  about: { readonly server: string; readonly plain?: string },
): ConnectAdvice {
  const never = (advice: string) => ({ advice, isTransient: false });
  const later = (advice: string) => ({ advice, isTransient: true });
  // First, since Deno's text for a host name is "getaddrinfo EPERM".
  if (notPermitted.test(reason)) {
    const runtime = "Deno" in globalThis ? "Deno" : "the runtime";
    return never(`${runtime} does not permit the connection; allow it with --allow-net=${here}`);
  }
  if (about.plain !== undefined) {
    const advice = tlsAdvice(reason, here, about.plain);
    if (advice !== undefined) return never(advice);
  }
  if (/ECONNREFUSED|refused/i.test(reason)) {
    return later(`nothing listens on ${here}; check that ${about.server} is running`);
  }
  if (/EAI_AGAIN|temporary failure/i.test(reason)) {
    return later(`the host name ${host} is not known: no name server answers; check the network`);
  }
  if (/ENOTFOUND|getaddrinfo|failed to lookup|dns/i.test(reason)) {
    return later(`the host name ${host} is not known; check the name`);
  }
  if (/EHOSTUNREACH|ENETUNREACH|unreachable/i.test(reason)) {
    return later(`there is no route to ${here}; check the address and the network`);
  }
  return { isTransient: true };
}

const notPermitted =
  /NotCapable|requires net access|permission|getaddrinfo EPERM|ERR_ACCESS_DENIED/i;

/** Explains an error of TLS; each of three TLS libraries has texts of its own. Waiting helps against none of them. */
function tlsAdvice(reason: string, here: string, plain: string): string | undefined {
  if (/wrong.version|InvalidContentType|corrupt message|packet length/i.test(reason)) {
    return `${here} does not speak TLS; try ${plain}`;
  }
  if (/\balert\b/i.test(reason.replaceAll("_", " "))) {
    return `${here} refuses this client's certificate, or asks for one; see the options "cert" and "key"`;
  }
  if (/key.values.mismatch|PEM|no.start.line|unsupported protocol|Invalid CA/i.test(reason)) {
    return 'the option "ca", "cert" or "key" is not valid PEM, or the key is not that of the certificate';
  }
  if (/certificate|issuer|self.signed|altname|hostname|CERT_/i.test(reason)) {
    return `the certificate of ${here} is not trusted; see the options "ca" and "servername"`;
  }
}

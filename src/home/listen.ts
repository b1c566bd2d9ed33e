import { ChannelConfigError } from "../shared/errors.ts";
import { none, shown, type Signature } from "../shared/options.ts";
import { withoutCredentials } from "../shared/redact.ts";
import { configureHome } from "./configure_home.ts";
import { Home } from "./home.ts";
import { type HomeOptions, homeSignature } from "./home_options.ts";
import { type HomeServer, type Reception, receptionOf } from "./reception.ts";

const signature: Signature = /* @__PURE__ */ homeSignature(
  "listen",
  2,
  'listen("zmq://127.0.0.1:5555", { connection: "sqlite:jobs.db" })',
);

/**
 * Lends the channels of a connection to peers, which connect to one of the addresses.
 *
 * A listener on loopback admits every process of the machine. Another one needs `secret`, `keys` or `authorize`, or the
 * certificate of `wss:`; with `insecure` it admits everyone. The port 0 is any free port; {@linkcode Home.address} has
 * the one that was found. The process stays alive until the home is closed.
 *
 * Rejects with a {@linkcode ChannelConfigError} if an address or an option is invalid, and with a
 * {@linkcode ChannelConnectionError} if the system does not allow to listen there.
 *
 * @param addresses URIs that begin with `zmq:`, `ws:` or `wss:`
 *
 * @example
 * ```ts
 * import { Channel, listen } from "@channelts/channel/home";
 *
 * await using home = await listen("zmq://127.0.0.1:0");
 * const jobs = new Channel<number>({ name: "jobs", connection: home }); // a channel of the home
 * const peer = new Channel<number>({ name: "jobs", connection: home.address }); // in any process
 * await peer.put(7);
 * await jobs.get(); // 7
 * await peer.close();
 * await jobs.delete();
 * ```
 */
export async function listen(
  addresses: string | URL | readonly (string | URL)[],
  options: HomeOptions = none,
): Promise<Home> {
  signature.check(options, arguments.length);
  const uris = (Array.isArray(addresses) ? addresses : [addresses]).map(checkedUri);
  if (uris.length === 0) {
    throw new ChannelConfigError("listen: there is no address; give one such as zmq://127.0.0.1:0");
  }
  const secret = options.secret ?? secretOf(uris);
  const settings = { ...options, ...secret === undefined ? {} : { secret } };
  const starts = [];
  for (const uri of uris) {
    starts.push(await serverOf(uri));
    await checkProtection(uri, settings);
  }
  const home = new Home(settings);
  const reception = receptionOf(home);
  try {
    await reception.ready();
    for (const [i, start] of starts.entries()) {
      reception.servers.push(await start(uris[i]!, settings, reception));
    }
  } catch (error) {
    await home.close();
    throw error;
  }
  configureHome(home, settings);
  return home;
}

/** Starts to listen, and hands connections to the acceptor. */
type Start = (uri: string, options: HomeOptions, reception: Reception) => Promise<HomeServer>;

/** Loads what listens on the addresses of a scheme. */
async function serverOf(uri: string): Promise<Start> {
  switch (schemeOf(uri)) {
    case "zmq:": {
      const { listenZmq } = await import("./zmq_server.ts");
      return (uri, options, reception) => {
        const failed = (address: string, error: Error) =>
          reception.log("warn", `the peer (zmq ${address}) is refused: ${error.message}`);
        return listenZmq(uri, { ...options, failed }, reception);
      };
    }
    case "ws:":
    case "wss:": {
      const [{ listenWeb }, { webOptions }] = await Promise.all([
        import("./websocket/web_server.ts"),
        import("./websocket/web_acceptor.ts"),
      ]);
      return (uri, options, reception) => {
        return listenWeb(uri, { ...options, ...webOptions(options, reception) }, reception);
      };
    }
  }
  throw new ChannelConfigError(
    `listen: ${withoutCredentials(uri)} is no address to listen on; use zmq:, ws: or wss:`,
  );
}

function checkedUri(address: unknown): string {
  if (address instanceof URL) return address.href;
  if (typeof address === "string" && schemeOf(address) !== undefined) return address;
  const given = typeof address === "string" ? withoutCredentials(address) : address;
  throw new ChannelConfigError(
    `listen: an address is a URI such as zmq://127.0.0.1:0, not ${shown(given)}`,
  );
}

function schemeOf(uri: string): string | undefined {
  return /^[a-z]+:/i.exec(uri)?.[0].toLowerCase();
}

/** Returns the secret that the URIs contain as passwords. */
function secretOf(uris: readonly string[]): string | undefined {
  const secrets = new Set(
    uris.map((uri) => /^[a-z]+:\/\/[^/?#@]*?:([^/?#@]+)@/i.exec(uri)?.[1])
      .filter((secret) => secret !== undefined),
  );
  if (secrets.size > 1) {
    throw new ChannelConfigError(
      'listen: the addresses have different passwords; set the option "secret" instead',
    );
  }
  for (const secret of secrets) {
    try {
      return decodeURIComponent(secret);
    } catch {
      return undefined; // the scheme says what is wrong
    }
  }
}

/** @throws {ChannelConfigError} if other machines can reach an address that nothing protects */
async function checkProtection(uri: string, options: HomeOptions): Promise<void> {
  const { secret, keys, authorize, insecure, cert } = options;
  if (insecure || isLoopback(uri)) return;
  const scheme = schemeOf(uri);
  if (scheme === "zmq:") {
    const { parseZmqUri } = await import("../transports/home/pipes/zmtp/uri.ts");
    const { isPlain, address } = parseZmqUri(uri, true);
    if (isPlain) {
      throw new ChannelConfigError(
        `listen: ${address}: mechanism=plain sends the secret and the values unencrypted; ` +
          "leave it out, or set insecure",
      );
    }
  }
  const isProtected = secret !== undefined || authorize !== undefined ||
    (scheme === "zmq:" ? keys !== undefined : scheme === "wss:" && cert !== undefined);
  if (isProtected) return;
  throw new ChannelConfigError(
    `listen: ${
      withoutCredentials(uri)
    }: other machines can reach this address, and nothing protects it; ` +
      "set a secret, keys or authorize, listen on 127.0.0.1, or set insecure",
  );
}

/** Reports whether only this machine can reach an address. */
function isLoopback(uri: string): boolean {
  const host = /^[a-z]+:\/\/(?:[^/?#]*@)?(\[[^\]]*\]|[^/?#:]*)/i.exec(uri)?.[1] ?? "";
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i.test(host);
}

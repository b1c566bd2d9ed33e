import type { ConnectionOption } from "../connection/connection.ts";
import type { Follow, Logger } from "../connection/connection_options.ts";
import {
  callable,
  milliseconds,
  type Rule,
  type Rules,
  secret,
  Signature,
  text,
  truth,
} from "../shared/options.ts";
import type { KeyPair } from "../transports/home/pipes/zmtp/key_pair.ts";
import type { Authorize } from "./authorize.ts";
import type { HomeLimits } from "./home_limits.ts";

/** The options of a {@linkcode Home}. */
export interface HomeOptions {
  /**
   * What the home serves: any connection. Default: `memory:`, which the home's own channels share.
   *
   * The home must be the only process that serves these channels to peers only if they are in memory; several homes may
   * serve one file or one broker.
   */
  readonly connection?: ConnectionOption;
  /**
   * Decides what each peer may do. Without it, an admitted peer may do everything. It is called when a peer first does
   * something with a channel; the answer holds until the peer closes the channel or its connection ends.
   */
  readonly authorize?: Authorize;
  /** A secret that peers must know. On `zmq:` it also encrypts; on `ws:` it is the token that peers send. */
  readonly secret?: string;
  /** The keys of the home, for encryption on `zmq:`; default: made from `secret`, if there is one. */
  readonly keys?: KeyPair;
  /** The public keys of the peers that are admitted on `zmq:`; default: all. A `secret` is needed all the same. */
  readonly peers?: readonly string[];
  /** Whether a listener that is not on loopback may admit everyone without encryption. Default: false. */
  readonly insecure?: boolean;
  /** The origins of pages that may connect on `ws:`, such as `https://example.org`; `*` is any. Default: the own one. */
  readonly origins?: readonly string[];
  /** The certificate of `wss:` in PEM format. */
  readonly cert?: string;
  /** The private key of `cert` in PEM format. */
  readonly key?: string;
  /** The address under which peers reach the home, if it differs from the listener's. References carry it. */
  readonly address?: string;
  /**
   * Decides which brokers and other homes the channels may lead to that the home's own channels receive; default: to
   * none but those that this process has configured. See {@linkcode ConnectionOptions.follow}.
   */
  readonly follow?: Follow;
  /** What the home allows each peer. */
  readonly limits?: HomeLimits;
  /** How often peers that say nothing are asked whether they are there, in milliseconds. Default: 10,000. */
  readonly heartbeat?: number;
  /** What is told of peers that come, go or are refused. */
  readonly logger?: Logger;
}

const texts: Rule = {
  takes: "an array of strings",
  allows: (value) => Array.isArray(value) && value.every((one) => typeof one === "string"),
};

const object: Rule = {
  takes: "an object",
  allows: (value) => typeof value === "object" && value !== null,
};

const keyPair: Rule = {
  takes: "a key pair: { publicKey, secretKey }",
  allows: (value) => {
    const { publicKey, secretKey } = Object(value) as Partial<Record<keyof KeyPair, unknown>>;
    return typeof publicKey === "string" && typeof secretKey === "string";
  },
  isSecret: true,
};

/** The rules for the options of a home, for `listen` and for the constructor. */
/* @__NO_SIDE_EFFECTS__ */
export function homeSignature(action: string, most: number, usage: string): Signature {
  return new Signature(
    action,
    most,
    {
      connection: {
        takes: "a URI, a Connection or a transport",
        allows: (value) => typeof value === "string" || typeof value === "object" && value !== null,
        isSecret: true,
        adviceForUndefined: 'leave it out for "memory:"',
      },
      authorize: callable,
      secret: {
        ...secret,
        takes: "a string that is not empty",
        allows: (value) => typeof value === "string" && value !== "",
      },
      keys: keyPair,
      peers: texts,
      insecure: truth,
      origins: texts,
      cert: secret,
      key: secret,
      address: text,
      follow: callable,
      limits: object,
      heartbeat: milliseconds(10),
      logger: object,
    } satisfies Rules<HomeOptions>,
    usage,
  );
}

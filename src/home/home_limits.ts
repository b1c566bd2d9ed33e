import { integer, milliseconds, type Rules, Signature } from "../shared/options.ts";

/** What a home allows its peers. */
export interface HomeLimits {
  /** The largest frame in bytes that the home reads: a value with its properties. Default: 16 MiB. */
  readonly frame?: number;
  /** How many peers are connected at a time. Default: 10,000. */
  readonly peers?: number;
  /** How many channels a peer uses at a time. Default: 10,000. */
  readonly links?: number;
  /** How many values a peer holds or waits for at a time. Default: 20,000. */
  readonly loans?: number;
  /** How many puts of a peer are unanswered at a time; of more, the home reads no further. Default: 1,024. */
  readonly puts?: number;
  /** How many bytes the unanswered requests of a peer have; of more, the home reads no further. Default: 64 MiB. */
  readonly incoming?: number;
  /** How many bytes wait to be sent to a peer before the home lends it nothing more. Default: 4 MiB. */
  readonly outgoing?: number;
  /** How many connections of one address wait for admission. Default: 64. */
  readonly newcomers?: number;
  /** For how many milliseconds a connection waits for admission. Default: 5,000. */
  readonly admission?: number;
  /** For how many milliseconds a peer reads nothing of what waits for it, until it is disconnected. Default: 30,000. */
  readonly stall?: number;
}

/** The limits that a program does not set. */
const defaultLimits: Required<HomeLimits> = {
  frame: 1 << 24,
  peers: 10_000,
  links: 10_000,
  loans: 20_000,
  puts: 1024,
  incoming: 1 << 26,
  outgoing: 1 << 22,
  newcomers: 64,
  admission: 5000,
  stall: 30_000,
};

const signature: Signature = /* @__PURE__ */ new Signature(
  "listen: limits",
  1,
  {
    frame: integer(1024, 1 << 30),
    peers: integer(1),
    links: integer(1),
    loans: integer(1),
    puts: integer(1, 1 << 16),
    incoming: integer(1024),
    outgoing: integer(1024),
    newcomers: integer(1),
    admission: milliseconds(1),
    stall: milliseconds(1),
  } satisfies Rules<HomeLimits>,
  "limits: { frame: 1_000_000 }",
);

/** Returns all limits. @throws {ChannelConfigError} if a limit is invalid */
export function limitsOf(limits: HomeLimits = {}): Required<HomeLimits> {
  signature.check(limits, 1);
  const set = Object.entries(limits).filter(([, limit]) => limit !== undefined);
  return { ...defaultLimits, ...Object.fromEntries(set) };
}

import type { Home } from "../../src/home/home.ts";
import { receptionOf } from "../../src/home/reception.ts";

/** What a home has at a moment. */
export interface Census {
  /** The names of the peers. */
  readonly peers: string[];
  /** The number of the links of all peers. */
  readonly links: number;
  /** The number of the messages that peers hold. */
  readonly loans: number;
  /** For each channel, how many peers wait for a message. */
  readonly waiting: Map<string, number>;
  /** For each channel, how many peers use it. */
  readonly attached: Map<string, number>;
  /** The number of the puts that are remembered. */
  readonly copies: number;
  /** How many bytes wait to be sent. */
  readonly buffered: number;
}

/** Counts what a home has. */
export function census(home: Home): Census {
  const { peers: all, sessions } = receptionOf(home);
  const peers = [...all].filter((peer) => peer.isAdmitted);
  const waiting = new Map<string, number>();
  const attached = new Map<string, number>();
  for (const { holdings: { links, requests } } of peers) {
    const waits = [...requests.values()].filter(({ action }) => action === "get");
    countEach(waiting, waits.map(({ link }) => link.name));
    countEach(attached, [...links.values()].map(({ name }) => name));
  }
  return {
    peers: peers.map(({ name }) => name),
    links: sum(peers.map(({ holdings }) => holdings.links.size)),
    loans: sum(peers.map(({ holdings }) => holdings.loans.size)),
    waiting,
    attached,
    copies: sessions.remembered,
    buffered: sum(peers.map(({ buffered }) => buffered)),
  };
}

function countEach(counts: Map<string, number>, names: readonly string[]): void {
  for (const name of new Set(names)) counts.set(name, (counts.get(name) ?? 0) + 1);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** A peer of a home that speaks frames, over a pipe in this process. */
import type { PeerInfo } from "../../src/home/acceptor.ts";
import type { Home } from "../../src/home/home.ts";
import { receptionOf } from "../../src/home/reception.ts";
import type { PipeObserver } from "../../src/transports/home/pipes/pipe.ts";
import { within } from "../conformance/fixture.ts";
import { type LoopbackPipe, pipePair } from "./loopback.ts";

/** The peer's end. */
export interface RawPeer {
  readonly pipe: LoopbackPipe;
  send(header: string, body?: string): void;
  /** Resolves with the next frame from the home, as text. */
  next(): Promise<string>;
  /** The number of frames that have arrived and were not read. */
  waiting(): number;
  /** Loses the connection. */
  cut(): void;
  /** Closes the connection. */
  end(): void;
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
}

/** Connects to a home. */
export function rawPeer(home: Home, about: Partial<PeerInfo> = {}): RawPeer {
  const frames: string[] = [];
  let wake = () => {};
  let far: PipeObserver | undefined;
  let close = () => {};
  const closed = new Promise<void>((resolve) => close = resolve);
  const observer: PipeObserver = {
    received(frame) {
      frames.push(new TextDecoder().decode(frame));
      wake();
    },
    drained() {},
    closed: () => close(),
  };
  const [near, end] = pipePair(() => observer, () => far!);
  receptionOf(home).accept({ transport: "port", address: "", ...about }, (observer) => {
    far = observer;
    return end;
  });
  const next = async () => {
    while (frames.length === 0) await new Promise<void>((resolve) => wake = resolve);
    return frames.shift()!;
  };
  return {
    pipe: near,
    send: (header, body) =>
      near.send(header, body === undefined ? undefined : new TextEncoder().encode(body)),
    next: () => within(next()),
    waiting: () => frames.length,
    cut: () => near.cut(),
    end: () => near.close(),
    closed,
  };
}

import type { Link, LinkOptions, Message } from "../../src/transports/transport.ts";
import type { Raw } from "../conformance/fixture.ts";

/** The options of a link that a test opens directly. */
export const linkOptions: LinkOptions = {
  create: true,
  retryTimeout: 10_000,
  signal: new AbortController().signal,
  observer: { announced() {}, missed() {}, gone() {} },
};

/** Puts a message through a link. */
export function putOn(link: Link, message: Message): Promise<void> {
  return new Promise((resolve, reject) => {
    link.put({ message, settled: false, taken: resolve, reject });
  });
}

/** Returns raw access to a channel through its link. */
export function rawOn(link: Link, close: () => Promise<void> = () => link.close()): Raw {
  return {
    put: (message) => putOn(link, message),
    async get() {
      const loan = await link.tryTake(false);
      loan?.accept();
      return loan?.message;
    },
    announce: (event) => link.announce(event),
    [Symbol.asyncDispose]: close,
  };
}

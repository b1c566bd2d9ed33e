import { checkPlatform } from "../../shared/host.ts";
import type { Scheme } from "../transport.ts";
import { helloOf, type HomeCode } from "./home_code.ts";
import { parseZmqUri } from "./pipes/zmtp/uri.ts";
import type { zmqDial } from "./pipes/zmtp/zmtp_dial.ts";

/** Returns the scheme of homes that are reached by ZeroMQ's protocol. */
export function zmqSchemes(
  load: () => HomeCode<typeof zmqDial> | Promise<HomeCode<typeof zmqDial>>,
): Record<string, Scheme> {
  return {
    "zmq:": {
      reach: "network",
      options: ["username", "password", "name", "key"],
      parse(uri) {
        checkPlatform("zmq:");
        return parseZmqUri(uri);
      },
      async load(uri, options, watcher) {
        const { HomeTransport, dialer } = await load();
        const parsed = parseZmqUri(uri);
        const { username = parsed.username, password: secret = parsed.secret, key } = options ?? {};
        const dial = dialer({
          ...parsed,
          ...username === undefined ? {} : { username },
          ...secret === undefined ? {} : { secret },
        }, key);
        const name = options?.name ?? parsed.name;
        const shown = name === undefined ? options : { ...options, name };
        return new HomeTransport(parsed.address, dial, helloOf(secret, shown, watcher));
      },
    },
  };
}

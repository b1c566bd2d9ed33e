// A Worker of Cloudflare without the flag `nodejs_compat`. Its requests share the channels in memory.

import { Channel } from "@channelts/channel/memory";
import { exercise } from "./exercise.js";

const routes = {
  "/exercise": () => exercise(),

  async "/put"(query) {
    await new Channel(query.get("name")).put(query.get("value"));
    return "put";
  },

  "/get": (query) => new Channel(query.get("name")).get({ timeout: Number(query.get("timeout")) }),

  "/forever": (query) => new Channel(query.get("name")).get(),

  async "/later"(query) {
    await new Channel(query.get("name")).put("later", { delay: Number(query.get("delay")) });
    return "put";
  },

  /** Puts and gets so long that another runtime would let the event loop turn, and leaves the channel open. */
  async "/loop"(query) {
    const ch = new Channel(query.get("name"));
    for (let i = 0; i < 2000; i++) {
      await ch.put(i);
      await ch.get();
    }
    return "done";
  },

  /** Collects the channels that earlier requests have dropped, and lets their finalizers run. */
  async "/collect"() {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
    return "collected";
  },
};

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    try {
      return Response.json(await routes[pathname](searchParams));
    } catch (error) {
      return Response.json(`${error?.name}: ${error?.message}`);
    }
  },
};

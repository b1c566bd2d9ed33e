// A Worker of Cloudflare without the flag `nodejs_compat`: a peer of the home that `HOME` names, with a connection for each
// request.

import { Channel, Connection } from "@channelts/channel/web";

const routes = {
  async "/put"(connection, query) {
    const ch = new Channel({ name: query.get("name"), connection });
    try {
      await ch.put({ value: query.get("value"), big: 2n ** 70n }, { timeout: 5000 });
      return "put";
    } finally {
      await ch.close();
    }
  },

  async "/get"(connection, query) {
    const ch = new Channel({ name: query.get("name"), connection });
    try {
      return (await ch.get({ timeout: 10_000 })).value;
    } finally {
      await ch.close();
    }
  },

  async "/request"(connection, query) {
    const ch = new Channel({ name: query.get("name"), connection });
    try {
      return await ch.request(Number(query.get("value")), { timeout: 10_000 });
    } finally {
      await ch.close();
    }
  },
};

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    try {
      return Response.json(await routes[pathname](new Connection(env.HOME), searchParams));
    } catch (error) {
      return Response.json(`${error?.name}: ${error?.message}`);
    }
  },
};

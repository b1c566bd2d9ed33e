// A Worker of Cloudflare with the flag `nodejs_compat`, which uses RabbitMQ.

import { Channel, Connection } from "@channelts/channel/amqp";
import { Channel as SqliteChannel } from "@channelts/channel/sqlite";

let started = 0;

const routes = {
  /** Uses the connection that all requests share, and keeps it until the channel has a value. */
  async "/shared"({ name, env, query }) {
    const ch = new Channel({ name, connection: env.BROKER });
    try {
      const got = ch.get({ timeout: Number(query.get("timeout")) });
      started++;
      return await got;
    } finally {
      await ch.close();
    }
  },

  /** How many requests have begun to use the connection that all share. */
  "/started": () => started,

  /** Puts on a connection of its own. */
  async "/put"({ name, env }) {
    const ch = new Channel({ name, connection: new Connection(env.BROKER) });
    await ch.put("put", { timeout: 10_000 });
    await ch.close();
    return "put";
  },

  async "/sqlite"() {
    await new SqliteChannel({ connection: "sqlite:./x.db" }).put(1);
    return "put";
  },
};

export default {
  async fetch(request, env) {
    const { pathname, searchParams: query } = new URL(request.url);
    try {
      const result = await routes[pathname]({ env, query, name: query.get("name") });
      return Response.json(result);
    } catch (error) {
      return Response.json(`${error?.name}: ${error?.message}`);
    }
  },
};

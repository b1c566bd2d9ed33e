// A home in a Durable Object of Cloudflare, for peers all over the world.

import { Channel, Home } from "@channelts/channel/home";

export class Channels {
  #home = new Home();

  async fetch(request) {
    if (request.headers.get("upgrade") === "websocket") return await this.#home.fetch(request);
    // A channel of the home itself.
    const jobs = new Channel({ name: "jobs", connection: this.#home });
    await jobs.put(await request.text());
    return Response.json("put");
  }
}

export default {
  fetch(request, env) {
    return env.CHANNELS.get(env.CHANNELS.idFromName("home")).fetch(request);
  },
};

// A page that is the home of its Workers and iframes, which are peers by ports.

import { Channel, fromPort, Home } from "@channelts/channel/home";

/** In the page. Returns what the peers have done. */
export async function pageHome() {
  const home = new Home({ authorize: ({ channel }) => channel !== "private" });
  const jobs = new Channel({ name: "jobs", connection: home });
  const results = new Channel({ name: "results", connection: home });
  const found = [];

  const worker = new Worker("peer.js", { type: "module" });
  const toWorker = new MessageChannel();
  home.accept(toWorker.port1, { address: "a Worker" });
  worker.postMessage({ role: "worker" }, [toWorker.port2]);

  const frame = document.createElement("iframe");
  frame.src = "frame.html";
  const loaded = new Promise((resolve) => frame.onload = resolve);
  document.body.append(frame);
  await loaded;
  const toFrame = new MessageChannel();
  home.accept(toFrame.port1, { address: "an iframe", origin: location.origin });
  frame.contentWindow.postMessage({ role: "iframe" }, location.origin, [toFrame.port2]);

  // Both peers have started before there is work: else the first one may have done all of it.
  const ready = new Channel({ name: "ready", connection: home });
  for (let i = 0; i < 2; i++) await ready.get({ timeout: 20_000 });
  for (let n = 0; n < 40; n++) await jobs.put({ n, bytes: new Uint8Array(20_000).fill(n) });
  const roles = new Set();
  for (let i = 0; i < 40; i++) {
    const { role, sum } = await results.get({ timeout: 20_000 });
    roles.add(role);
    found.push(sum);
  }
  found.sort((a, b) => a - b);

  // What a Worker holds returns when the Worker ends.
  await new Channel({ name: "held", connection: home }).put("held");
  await results.get({ timeout: 20_000 });
  worker.terminate();
  const again = await new Channel({ name: "held", connection: home }).receive({ timeout: 20_000 });
  again.accept();
  frame.remove();
  await home.close();
  return { sums: found, roles: [...roles].sort(), attempts: again.attempts, held: again.value };
}

/** In a Worker or an iframe: works until the channel is closed. */
export async function work(role, port) {
  const connection = fromPort(port);
  const jobs = new Channel({ name: "jobs", connection });
  const results = new Channel({ name: "results", connection });
  if (role === "worker") {
    const held = new Channel({ name: "held", connection });
    held.receive().then(() => results.put("held"));
  }
  await new Channel({ name: "private", connection }).put(1).then(
    () => results.put("not refused"),
    (error) => {
      if (error.reason !== "permission") throw error;
    },
  );
  await new Channel({ name: "ready", connection }).put(role);
  for await (const { n, bytes } of jobs) {
    await results.put({ role, sum: n + bytes.length + bytes[0] });
  }
}

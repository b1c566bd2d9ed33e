// A home in a Worker: it gets its orders and then questions, some of which bring a port to a peer.
import { parentPort } from "node:worker_threads";
import { Control, type Orders, type Question } from "../homes/control.ts";

const parent = (parentPort ?? globalThis) as unknown as Worker;
let control: Promise<Control> | undefined;

parent.addEventListener("message", async ({ data }) => {
  const [id, orders, port] = data as [number, Orders | Question, MessagePort | undefined];
  try {
    if ("addresses" in orders) {
      const { home } = await (control = Control.start(orders));
      parent.postMessage([id, home.addresses]);
    } else if (port !== undefined) {
      (await control!).home.accept(port);
      parent.postMessage([id]);
    } else parent.postMessage([id, await (await control!).answer(orders)]);
  } catch (error) {
    parent.postMessage([id, undefined, String((error as Error).stack)]);
  }
});

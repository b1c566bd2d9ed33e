import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP proxy to a port of 127.0.0.1 that adds latency. */
export interface Delay extends AsyncDisposable {
  /** The port of 127.0.0.1 to connect to instead. */
  readonly port: number;
}

/** @param ms latency in milliseconds, added in each direction */
export async function startDelay(target: number, ms: number): Promise<Delay> {
  const sockets = new Set<Socket>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: target, host: "127.0.0.1", noDelay: true });
    const pairs: [Socket, Socket][] = [[near, far], [far, near]];
    for (const [from, to] of pairs) {
      sockets.add(from);
      from.on("data", (data) => {
        const timer = setTimeout(() => {
          timers.delete(timer);
          to.write(data);
        }, ms);
        timers.add(timer);
      });
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

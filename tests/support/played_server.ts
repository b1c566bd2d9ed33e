import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** A server of which a test decides what it says. */
export class PlayedServer implements AsyncDisposable {
  readonly port: number;
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
  }

  static async start(play: (socket: Socket) => void): Promise<PlayedServer> {
    const server = createServer((socket) => {
      played.sockets.push(socket);
      socket.on("error", () => {}); // the client has ended it
      play(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const played = new PlayedServer(server);
    return played;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

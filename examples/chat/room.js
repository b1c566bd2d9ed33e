// A chat room, as a page and a process see it: this module runs in browsers, on Deno, Bun and Node.

import {
  Channel,
  ChannelDecodeError,
  ChannelReferenceError,
  ChannelTimeoutError,
  Connection,
  SendChannel,
} from "@channelts/channel/web";

/**
 * @typedef {object} Message A message to one person.
 * @property {string} name who has sent it
 * @property {string} text
 * @property {SendChannel<Message>} inbox the channel that its sender reads: whoever has it may answer
 */

/** @typedef {Message & { id: string }} Post A message to everyone, on the way to the server. */

/** @typedef {Post & { n: number, time: Date }} Line A post that the server has numbered: 1, 2, 3 … */

/** @typedef {"connecting" | "connected" | "disconnected"} State */

/**
 * @typedef {object} Observer What shows the room to a person.
 * @property {(line: Line) => void} line shows a line; they come in order, and none twice
 * @property {(message: Message) => void} message shows a message to this person alone
 * @property {(state: State) => void} state
 */

/**
 * Whether a value is a message. Anyone may have sent it.
 *
 * @param {unknown} value
 * @returns {value is Message}
 */
export function isMessage(value) {
  const { name, text, inbox } = /** @type {Record<string, unknown>} */ (Object(value));
  return isText(name, 40) && isText(text, 2000) && inbox instanceof SendChannel;
}

/**
 * @param {unknown} value
 * @param {number} limit
 */
function isText(value, limit) {
  return typeof value === "string" && value !== "" && value.length <= limit;
}

/** A person in the room. */
export class Room {
  #observer;
  #connection;
  /** @type {Channel<Post>} */
  #posts;
  /** @type {Channel<Line>} */
  #lines;
  /** @type {Channel<number>} */
  #history;
  /** @type {Channel<Message>} */
  #inbox;
  /** The inboxes that were used. @type {Set<SendChannel<Message>>} */
  #others = new Set();
  /** The number of the last line that was shown. */
  #last = 0;
  #posted = 0;
  #isBehind = false;
  #isCatchingUp = false;
  #hasLeft = false;

  /**
   * @param {string | URL} url the address of the home
   * @param {Observer} observer
   */
  constructor(url, observer) {
    this.#observer = observer;
    this.#connection = new Connection(url, {
      retryTimeout: Infinity, // what is sent while the server is away waits until it is back
      ondisconnect: () => observer.state("disconnected"),
      onreconnect: () => {
        observer.state("connected");
        void this.#catchUp(); // broadcasts are not repeated
      },
    });
    const connection = this.#connection;
    this.#posts = new Channel({ name: "chat.posts", connection });
    this.#lines = new Channel({ name: "chat.lines", connection });
    this.#history = new Channel({ name: "chat.history", connection });
    this.#inbox = new Channel({ connection });
  }

  /** Shows the room, until it is left. */
  async join() {
    this.#observer.state("connecting");
    const lines = this.#lines.broadcasts();
    await lines.ready;
    this.#observer.state("connected");
    await Promise.all([this.#catchUp(), this.#listen(lines), this.#readInbox()]);
  }

  /**
   * Sends a text to everyone. Resolves when the server has published it.
   *
   * @param {string} name
   * @param {string} text
   */
  async post(name, text) {
    const id = `${this.#inbox.name} ${++this.#posted}`;
    await this.#posts.request({ id, name, text, inbox: this.#inbox.sender });
  }

  /**
   * Sends a text to one person. Resolves when the server has it; rejects with a ChannelClosedError if the person has
   * left.
   *
   * @param {SendChannel<Message>} to the person's inbox
   * @param {string} name
   * @param {string} text
   */
  async send(to, name, text) {
    this.#others.add(to);
    await to.put({ name, text, inbox: this.#inbox.sender });
  }

  /** Leaves the room: ends `join`. */
  async leave() {
    this.#hasLeft = true;
    await this.#inbox.delete({ timeout: 2000 }).catch(() => {}); // otherwise it vanishes in half an hour
    const used = [this.#inbox, this.#posts, this.#lines, this.#history, ...this.#others];
    await Promise.all(used.map((each) => each.close()));
  }

  /** @param {AsyncIterable<Line>} lines */
  async #listen(lines) {
    for await (const line of lines) {
      if (line.n === this.#last + 1) this.#show(line);
      else if (line.n > this.#last) void this.#catchUp();
    }
  }

  /** Asks the server for the lines after the last one. */
  async #catchUp() {
    this.#isBehind = true;
    if (this.#isCatchingUp) return;
    this.#isCatchingUp = true;
    try {
      while (this.#isBehind) {
        this.#isBehind = false;
        /** @type {Line[]} */
        const lines = await this.#history.request(this.#last, { timeout: 30_000 });
        for (const line of lines) if (line.n > this.#last) this.#show(line);
      }
    } catch (error) {
      if (this.#hasLeft) return;
      if (error instanceof ChannelTimeoutError) queueMicrotask(() => this.#catchUp());
      else throw error;
    } finally {
      this.#isCatchingUp = false;
    }
  }

  /** @param {Line} line */
  #show(line) {
    this.#last = line.n;
    this.#observer.line(line);
  }

  async #readInbox() {
    while (!this.#hasLeft) {
      try {
        for await (const message of this.#inbox) {
          if (isMessage(message)) this.#observer.message(message);
        }
        // The server deletes an inbox that was not attached for half an hour, for example because the computer slept.
        if (!this.#hasLeft) this.#inbox = new Channel({ connection: this.#connection });
      } catch (error) {
        // Whoever has the inbox may put anything.
        const isTheirs = error instanceof ChannelDecodeError ||
          error instanceof ChannelReferenceError;
        if (!isTheirs) throw error;
      }
    }
  }
}

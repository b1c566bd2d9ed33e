// The page of the chat room. It shows texts of others as text only, never as HTML.

import { ChannelClosedError } from "@channelts/channel/web";
import { Room } from "./room.js";

/** @import { Line, Message } from "./room.js" */

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const lines = element("lines");
const pending = element("pending");
const status = /** @type {HTMLOutputElement} */ (element("status"));
const form = /** @type {HTMLFormElement} */ (element("form"));
const name = /** @type {HTMLInputElement} */ (element("name"));
const to = /** @type {HTMLSelectElement} */ (element("to"));
const text = /** @type {HTMLInputElement} */ (element("text"));

const states = {
  connecting: "connecting …",
  connected: "connected",
  disconnected: "The connection is lost. Connecting again …",
};

/** The inboxes of the others, by name: where the last message of that name came from. */
const inboxes = new Map();

const url = new URL("channels", location.href);
url.protocol = url.protocol.replace("http", "ws");

const room = new Room(url, {
  line: (line) => show(line, line.time),
  message: (message) => show(message, new Date(), "private"),
  state(state) {
    status.dataset.state = state;
    status.value = states[state];
  },
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [from, words, recipient] = [name.value, text.value, to.value];
  text.value = "";
  const item = pending.appendChild(document.createElement("li"));
  item.className = "pending";
  item.textContent = `${words} (sending)`;
  try {
    if (recipient === "") await room.post(from, words);
    else {
      await room.send(inboxes.get(recipient), from, words);
      lines.append(itemOf(new Date(), from, `to ${recipient}: ${words}`, "private"));
    }
    item.remove();
  } catch (error) {
    const hasLeft = recipient !== "" && error instanceof ChannelClosedError;
    item.className = "failed";
    item.textContent = `${words} (not sent: ${hasLeft ? `${recipient} has left` : error})`;
  }
});

// Tells the others that this person has left. Without it, the inbox vanishes half an hour after the page.
addEventListener("pagehide", () => void room.leave());

await room.join();

/**
 * Shows a message, and offers its sender as a recipient.
 *
 * @param {Message} message
 * @param {Date} time
 * @param {string} [kind]
 */
function show(message, time, kind) {
  if (!inboxes.has(message.name)) to.add(new Option(`to ${message.name} alone`, message.name));
  inboxes.set(message.name, message.inbox);
  lines.append(itemOf(time, message.name, message.text, kind));
}

/**
 * @param {Date} time
 * @param {string} from
 * @param {string} words
 * @param {string} [kind]
 */
function itemOf(time, from, words, kind = "") {
  const item = document.createElement("li");
  item.className = kind;
  const when = document.createElement("time");
  when.textContent = time.toLocaleTimeString();
  const who = document.createElement("button");
  who.textContent = from;
  who.onclick = () => {
    to.value = from;
    text.focus();
  };
  item.append(when, " ", who, ` ${words}`);
  return item;
}

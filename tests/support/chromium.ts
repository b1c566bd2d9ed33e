import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { installPackage, mayInstall } from "./debian.ts";
import { findProgram } from "./installation.ts";
import { cleanEnv } from "./supervisor.ts";

/** Nothing but the pages of the tests is loaded: no update, no look-up, no account. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

/**
 * Returns the path of Chromium: the one that `TEST_CHROMIUM` names, the first on the PATH, or Debian's package, which is
 * installed if this process may. Otherwise, an error says why there is none.
 */
export async function findChromium(): Promise<string | Error> {
  const given = process.env.TEST_CHROMIUM;
  if (given) return given;
  const find = () => findProgram("chromium") ?? findProgram("google-chrome");
  const found = find();
  if (found !== undefined) return found;
  if (!mayInstall()) {
    return new Error("there is no chromium on the PATH, and only root can install one");
  }
  try {
    await installPackage("chromium");
  } catch (error) {
    return new Error(`chromium is not on the PATH; ${(error as Error).message.split("\n").at(-1)}`);
  }
  return find() ?? new Error("Debian's package chromium has no program of that name");
}

/** What the page and its Workers reported by an exception or `console.error`. */
export type Problem = string;

/** A headless Chromium with a profile of its own, driven by its DevTools protocol. */
export class Chromium implements AsyncDisposable {
  /** Its name and version. */
  readonly version: string;
  readonly #kill: () => Promise<void>;
  readonly #devTools: DevTools;

  private constructor(devTools: DevTools, version: string, kill: () => Promise<void>) {
    this.version = version;
    this.#devTools = devTools;
    this.#kill = kill;
  }

  static async start(program: string): Promise<Chromium> {
    const profile = mkdtempSync(join(process.env.TEST_FOLDER ?? tmpdir(), "channelts-chromium-"));
    const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
      env: { ...cleanEnv(), HOME: profile },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    let devTools: DevTools | undefined;
    const kill = async () => {
      // Its processes end with it, but write to the profile until then.
      devTools?.call("Browser.close").catch(() => {});
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      await exited;
      clearTimeout(timer);
      devTools?.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    };
    try {
      let output = "";
      const url = await new Promise<string>((resolve, reject) => {
        child.once("error", reject);
        exited.then(() => reject(new Error(`chromium ended: ${output.slice(-2000)}`)));
        child.stderr!.on("data", (chunk) => {
          output += chunk;
          const url = /DevTools listening on (ws:\S+)/.exec(output)?.[1];
          if (url !== undefined) resolve(url);
        });
      });
      devTools = await DevTools.connect(url);
      const { product } = await devTools.call("Browser.getVersion") as { product: string };
      return new Chromium(devTools, product, kill);
    } catch (error) {
      child.kill("SIGKILL");
      await kill();
      throw error;
    }
  }

  /** Opens a page. */
  async open(url: string): Promise<Page> {
    const { targetId } = await this.#devTools.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.#devTools.call("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    const page = new Page(this.#devTools, sessionId as string);
    await page.load(url);
    return page;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#kill();
  }
}

/** A page. */
export class Page {
  /** The exceptions that nothing has caught. */
  readonly problems: Problem[] = [];
  readonly #devTools: DevTools;
  readonly #session: string;

  constructor(devTools: DevTools, session: string) {
    this.#devTools = devTools;
    this.#session = session;
    devTools.listen(session, (method, params) => {
      if (method !== "Runtime.exceptionThrown") return;
      const { text, exception } = params.exceptionDetails as Exception;
      this.problems.push(`${text} ${exception?.description ?? exception?.value ?? ""}`);
    });
  }

  async load(url: string): Promise<void> {
    for (const domain of ["Runtime", "Page"]) {
      await this.#devTools.call(`${domain}.enable`, {}, this.#session);
    }
    const loaded = new Promise<void>((resolve) => {
      this.#devTools.listen(
        this.#session,
        (method) => method === "Page.loadEventFired" && resolve(),
      );
    });
    const { errorText } = await this.#devTools.call("Page.navigate", { url }, this.#session);
    if (errorText) throw new Error(`${url} was not loaded: ${errorText}`);
    await loaded;
  }

  /**
   * Returns the value of an expression, or of the promise that it evaluates to, as JSON has it.
   *
   * @throws what the page threw
   */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#devTools.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    }, this.#session) as { result: { value?: unknown }; exceptionDetails?: Exception };
    if (exceptionDetails === undefined) return result.value;
    const { text, exception } = exceptionDetails;
    throw new Error(exception?.description ?? text);
  }

  /** Brings the page's tab to the front, and clicks the middle of an element with the mouse. */
  async click(selector: string): Promise<void> {
    await this.#devTools.call("Page.bringToFront", {}, this.#session);
    const [x, y] = await this.evaluate(`{
      const element = document.querySelector(${JSON.stringify(selector)});
      if (element === null) throw new Error("no element is " + ${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center", behavior: "instant" });
      const { x, y, width, height } = element.getBoundingClientRect();
      [x + width / 2, y + height / 2];
    }`) as [number, number];
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.#devTools.call("Input.dispatchMouseEvent", {
        ...{ type, x, y, button: "left", clickCount: 1 },
      }, this.#session);
    }
  }

  /** Types a text into the element that has the focus; a line feed is the Enter key. */
  async type(text: string): Promise<void> {
    for (const part of text.split(/(\n)/)) {
      if (part !== "\n") {
        await this.#devTools.call("Input.insertText", { text: part }, this.#session);
      } else {
        for (const type of ["keyDown", "keyUp"]) {
          await this.#devTools.call("Input.dispatchKeyEvent", {
            ...{ type, key: "Enter", code: "Enter", windowsVirtualKeyCode: 13 },
            ...type === "keyDown" && { text: "\r" },
          }, this.#session);
        }
      }
    }
  }
}

interface Exception {
  readonly text: string;
  readonly exception?: { readonly description?: string; readonly value?: unknown };
}

type Params = Record<string, unknown>;
type Listener = (method: string, params: Params) => void;

/** A connection that speaks the Chrome DevTools Protocol. */
class DevTools {
  readonly #socket: WebSocket;
  readonly #calls = new Map<
    number,
    { resolve(result: Params): void; reject(error: Error): void }
  >();
  readonly #listeners = new Map<string, Listener[]>();
  #count = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data as string));
    socket.onclose = () => {
      for (const { reject } of this.#calls.values()) reject(new Error("chromium has ended"));
      this.#calls.clear();
    };
  }

  static connect(url: string): Promise<DevTools> {
    const socket = new WebSocket(url);
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(new DevTools(socket));
      socket.onerror = () => reject(new Error(`${url} does not answer`));
    });
  }

  call(method: string, params: Params = {}, sessionId?: string): Promise<Params> {
    const id = ++this.#count;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  /** Calls a function for each event of a session. */
  listen(session: string, listener: Listener): void {
    const listeners = this.#listeners.get(session) ?? [];
    listeners.push(listener);
    this.#listeners.set(session, listeners);
  }

  close(): void {
    this.#socket.close();
  }

  #receive(message: Message): void {
    const { id, result, error, method, params, sessionId } = message;
    if (id === undefined) {
      for (const listener of this.#listeners.get(sessionId ?? "") ?? []) listener(method!, params!);
      return;
    }
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error !== undefined) call?.reject(new Error(error.message));
    else call?.resolve(result!);
  }
}

/** An answer, or an event of a session. */
interface Message {
  readonly id?: number;
  readonly result?: Params;
  readonly error?: { readonly message: string };
  readonly method?: string;
  readonly params?: Params;
  readonly sessionId?: string;
}

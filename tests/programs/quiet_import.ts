// Imports every entry of the package while all that a module must not use as it is loaded throws or is missing, and
// reports the error, or the number of names that the last entry exports.
import "node:net"; // modules of the runtime may use anything
import "node:tls";
import "node:fs";
import "node:timers/promises";
import process from "node:process";
import { send } from "../support/child_side.ts";
import { ENTRIES } from "../support/entries.ts";

type Replaced = Record<string, unknown>;

const restore: (() => void)[] = [];

function replace(object: object, name: string, property: PropertyDescriptor | undefined): void {
  const before = Object.getOwnPropertyDescriptor(object, name);
  if (before === undefined && (object as Replaced)[name] === undefined) return;
  restore.push(() => {
    if (before === undefined) delete (object as Replaced)[name];
    else Object.defineProperty(object, name, before);
  });
  if (property === undefined) delete (object as Replaced)[name];
  else Object.defineProperty(object, name, { configurable: true, ...property });
}

/** Makes calls and `new` throw. The object stays where it is, as programs may look for it. */
function forbid(object: object, ...names: string[]): void {
  for (const name of names) {
    const fail = () => {
      throw new Error(`${name} is used while a module is loaded`);
    };
    const real = (object as Replaced)[name];
    if (typeof real !== "function") continue;
    replace(object, name, {
      value: new Proxy(real, { apply: fail, construct: fail }),
      writable: true,
    });
  }
}

function forbidReading(object: object, ...names: string[]): void {
  for (const name of names) {
    const before = (object as Replaced)[name];
    replace(object, name, {
      get() {
        const error = new Error(`${name} is read while a module is loaded`);
        if (/\/src\/|node_modules/.test(error.stack!)) throw error; // Node reads its environment to load a module
        return before;
      },
    });
  }
}

forbid(Math, "random");
forbid(performance, "now");
forbid(globalThis, "setTimeout", "setInterval", "setImmediate", "queueMicrotask", "fetch");
forbid(globalThis, "requestAnimationFrame", "requestIdleCallback", "addEventListener");
forbid(globalThis, "MessageChannel", "BroadcastChannel", "Worker", "WebSocket", "AbortController");
forbid(globalThis, "EventSource", "EventTarget", "Date", "ReadableStream", "WritableStream");
forbid(console, "log", "info", "warn", "error", "debug");
forbid(process, "on", "once", "getBuiltinModule", "emitWarning", "cwd", "nextTick");
forbidReading(process, "env");
forbidReading(globalThis, "crypto", "location", "localStorage", "caches");
replace(globalThis, "FinalizationRegistry", undefined);
replace(globalThis, "WeakRef", undefined);

let outcome: unknown;
try {
  for (const file of ENTRIES.values()) {
    outcome = Object.keys(await import(new URL(`../../${file}`, import.meta.url).href)).length;
  }
} catch (error) {
  outcome = `${(error as Error).stack}`;
}
for (const each of restore.reverse()) each();
send(outcome);

/** The part of the Error class that V8 added, and other engines have adopted in part. */
interface StackCapture {
  captureStackTrace?(error: object, callee: unknown): void;
}

/** Makes an error's stack begin at the caller of `callee`, where the user's line is, if the engine supports it. */
export function stackFrom(error: Error, callee: unknown): void {
  const { captureStackTrace } = Error as StackCapture;
  if (captureStackTrace === undefined || !Object.isExtensible(error)) return;
  captureStackTrace(error, callee);
  const { name, message, stack = "" } = error;
  if (stack.startsWith(name)) return;
  const value = `${name}: ${message}${stack.slice(stack.search(/\n|$/))}`; // Bun leaves out the message
  Object.defineProperty(error, "stack", { value, configurable: true, writable: true });
}

/**
 * Gives an error the stack of the running asynchronous function and of the functions that await it. JavaScriptCore
 * follows `await` only through the promises of asynchronous functions: on Bun an error keeps the stack of its creation.
 */
export function captureStack(error: Error): void {
  const { captureStackTrace } = Error as StackCapture;
  const isSupported = captureStackTrace !== undefined && !("Bun" in globalThis);
  if (isSupported && Object.isExtensible(error)) captureStackTrace(error, captureStack);
}

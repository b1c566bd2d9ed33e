// The part of `node:process` that the conformance suite uses, for browsers.

type OnUnhandled = (reason: unknown) => void;

const listeners = new Map<OnUnhandled, (event: PromiseRejectionEvent) => void>();

export default {
  versions: {},
  env: { TEST_TIMED: "later" }, // tests that measure time are left out
  on(_event: "unhandledRejection", listener: OnUnhandled): void {
    const listen = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      listener(event.reason);
    };
    listeners.set(listener, listen);
    addEventListener("unhandledrejection", listen as unknown as EventListener);
  },
  off(_event: "unhandledRejection", listener: OnUnhandled): void {
    removeEventListener("unhandledrejection", listeners.get(listener) as unknown as EventListener);
  },
  getActiveResourcesInfo: (): string[] => [],
};

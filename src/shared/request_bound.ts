// Cloudflare's workerd ties every timer, socket and turn of the event loop to the request that asked for it: they end
// with the request, and no other request of the isolate may use them. Objects in memory are shared by all requests.

/** Whether timers and sockets belong to one request, as on Cloudflare's workerd. */
export const isRequestBound: boolean = "WebSocketPair" in globalThis;

/**
 * Returns a function that reports whether the request that calls it is the one that runs now. In a Durable Object all
 * events count as one request.
 */
export function inThisRequest(): () => boolean {
  const [probe] = newPair();
  return () => {
    try {
      void probe.readyState; // throws in another request
      return true;
    } catch {
      return false;
    }
  };
}

function newPair(): [probe: { readonly readyState: number }] {
  const { WebSocketPair } = globalThis as unknown as {
    WebSocketPair: new () => Record<0, { readonly readyState: number }>;
  };
  return [new WebSocketPair()[0]];
}

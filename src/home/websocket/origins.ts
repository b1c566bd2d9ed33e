/**
 * Reports whether a page of this origin may use the home. Browsers let every page open a WebSocket to every host, and
 * name the page's origin. A peer that is no browser names none.
 *
 * A page that the home's own host has served is allowed, if its name cannot be another host's a moment later: an IP
 * address, localhost, or a name for which the browser has checked a certificate.
 *
 * @param origin the header `Origin`
 * @param host the header `Host`
 * @param allowed the origins that the program allows; `*` allows all
 */
export function isAllowedOrigin(
  origin: string | null | undefined,
  host: string | null | undefined,
  allowed: readonly string[] = [],
): boolean {
  if (origin === null || origin === undefined) return true;
  if (allowed.includes("*") || allowed.includes(origin)) return true;
  let page: URL;
  try {
    page = new URL(origin);
  } catch {
    return false; // such as `null`, that of a file
  }
  if (page.host !== hostOf(host, page.protocol)) return false;
  return page.protocol === "https:" || isFixed(page.hostname);
}

/** Returns a header `Host` as `URL.host` is written, without the default port; undefined if it cannot be read. */
function hostOf(host: string | null | undefined, protocol: string): string | undefined {
  try {
    return new URL(`${protocol}//${host}`).host;
  } catch {
    return undefined;
  }
}

/** Reports whether a host name always means the same host. */
function isFixed(hostname: string): boolean {
  return /^(?:localhost|.+\.localhost|[\d.]+|\[.*\])$/.test(hostname);
}

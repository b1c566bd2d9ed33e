import { configureTransport } from "../connection/configured.ts";
import { followerOf } from "../connection/follow.ts";
import type { Transport } from "../transports/transport.ts";
import type { HomeOptions } from "./home_options.ts";

/**
 * Makes the home known by its addresses: a reference that names one of them, from whichever connection it comes, leads to
 * the home without a network. Called again when the addresses have changed.
 */
export function configureHome(
  home: Transport & { readonly addresses: readonly string[] },
  { follow }: HomeOptions,
): void {
  configureTransport(home, home.addresses, follow && followerOf(follow));
}

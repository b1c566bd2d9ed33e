import { ChannelConfigError } from "../../shared/errors.ts";

/** Parses `memory:` or `memory:NAME`. The channels of each name are separate. */
export function parseMemoryUri(uri: string): { readonly address: string } {
  const space = /^memory:([\w.-]*)$/i.exec(uri)?.[1];
  if (space === undefined) {
    throw new ChannelConfigError(
      `cannot use the URI ${uri}: write memory: or memory:NAME, with letters, digits, _, . and - in NAME`,
    );
  }
  return { address: `memory:${space}` };
}

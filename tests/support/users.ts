import { randomUUID } from "node:crypto";
import type { BrokerControl } from "./control.ts";
import { tell } from "./erlang.ts";

/** What a user may do, each a regular expression of names of queues and exchanges; absent: nothing. */
export interface Permissions {
  /** May declare and delete these. */
  readonly configure?: string;
  /** May publish to these exchanges (`amq.default` is the default one), and bind these queues. */
  readonly write?: string;
  /** May consume from these queues, and bind to these exchanges. */
  readonly read?: string;
}

/** Names that a connection itself needs, beside those of its channels; see README.md, "Permissions". */
export const least = {
  configure: "amq\\.gen-.*",
  write: "amq\\.gen-.*|amq\\.default",
  read: "amq\\.gen-.*|amq\\.direct",
} as const;

/** What `least` allows, and all of it for the names of some channels and their exchanges. */
export function leastFor(...names: string[]): Required<Permissions> {
  const own = names.map((name) => name.replaceAll(/[^\w -]/g, "\\$&")).join("|");
  const anchored = (pattern: string) => own === "" ? `^(${pattern})$` : `^(${pattern}|${own})$`;
  return {
    configure: anchored(least.configure),
    write: anchored(least.write),
    read: anchored(least.read),
  };
}

/** A user of a broker. Disposing deletes it, which ends its connections. */
export interface User extends AsyncDisposable {
  readonly name: string;
  /** The broker's URI for this user. */
  readonly uri: string;
  /** Replaces its permissions. */
  permit(permissions: Permissions): Promise<void>;
  /** Sets its limits; `{}` lifts them. */
  limit(limits: { "max-connections"?: number; "max-channels"?: number }): Promise<void>;
}

/**
 * Adds a user to a broker that the tests have started.
 *
 * @param uri of the broker, and of the vhost that the permissions are for
 */
export async function addUser(
  control: BrokerControl,
  uri: string,
  permissions: Permissions = leastFor(),
): Promise<User> {
  const name = `test-${randomUUID()}`;
  const password = randomUUID();
  const url = new URL(uri);
  const vhost = decodeURIComponent(url.pathname.slice(1)) || "/";
  url.username = name;
  url.password = password;
  const run = (call: string) => tell(control, `ok = rabbit_auth_backend_internal:${call}`);
  await run(`add_user(${binary(name)}, ${binary(password)}, ${actor})`);
  const user: User = {
    name,
    uri: url.href,
    async permit({ configure = "^$", write = "^$", read = "^$" }) {
      const args = [name, vhost, configure, write, read].map(binary).join(", ");
      await run(`set_permissions(${args}, ${actor})`);
    },
    async limit(limits) {
      const json = JSON.stringify({ ...unlimited, ...limits });
      await run(`set_user_limits(${binary(name)}, ${binary(json)}, ${actor})`);
    },
    async [Symbol.asyncDispose]() {
      await run(`delete_user(${binary(name)}, ${actor})`);
    },
  };
  await user.permit(permissions);
  return user;
}

/** An Erlang binary of ASCII text. */
function binary(text: string): string {
  return `<<"${text.replaceAll(/["\\]/g, "\\$&")}">>`;
}

/** Who does it, for the broker's log. */
const actor = binary("tests");

const unlimited = { "max-connections": -1, "max-channels": -1 };

/** A vhost of a broker. Disposing deletes it with all that is in it. */
export interface Vhost extends AsyncDisposable {
  /** The broker's URI with this vhost. */
  readonly uri: string;
  /** Sets its limits; `{}` lifts them. */
  limit(limits: { "max-connections"?: number; "max-queues"?: number }): Promise<void>;
}

/**
 * Adds a vhost to a broker that the tests have started, and lets the broker URI's user use it.
 *
 * @param queueType of queues that are declared without one
 */
export async function addVhost(
  control: BrokerControl,
  uri: string,
  queueType: "classic" | "quorum" = "classic",
): Promise<Vhost> {
  const name = `test-${randomUUID()}`;
  const url = new URL(uri);
  url.pathname = `/${name}`;
  const user = binary(decodeURIComponent(url.username) || "guest");
  const vhost = binary(name);
  const all = binary(".*");
  const run = (call: string) => tell(control, `ok = ${call}`);
  await run(`rabbit_vhost:add(${vhost}, #{default_queue_type => ${binary(queueType)}}, ${actor})`);
  await run(
    `rabbit_auth_backend_internal:set_permissions(${user}, ${vhost}, ${all}, ${all}, ${all}, ${actor})`,
  );
  return {
    uri: url.href,
    async limit(limits) {
      const json = binary(JSON.stringify(limits));
      await run(`rabbit_vhost_limit:parse_set(${vhost}, ${json}, ${actor})`);
    },
    async [Symbol.asyncDispose]() {
      await tell(control, `rabbit_vhost:delete(${vhost}, ${actor})`); // 4.3 answers otherwise
    },
  };
}

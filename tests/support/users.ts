import { randomUUID } from "node:crypto";
import type { BrokerControl } from "./control.ts";
import { evalErlang } from "./erlang.ts";

/** The permissions of a user, each a regular expression on names of queues and exchanges; absent means none. */
export interface Permissions {
  /** Queues and exchanges that the user may declare and delete. */
  readonly configure?: string;
  /** Exchanges that the user may publish to (`amq.default` is the default one), and queues that it may bind. */
  readonly write?: string;
  /** Queues that the user may consume from, and exchanges that it may bind to. */
  readonly read?: string;
}

/** Names that a connection needs besides those of its channels; see docs/operations.md, "Users and permissions". */
export const least = {
  configure: "amq\\.gen-.*",
  write: "amq\\.gen-.*|amq\\.default",
  read: "amq\\.gen-.*|amq\\.direct",
} as const;

/** The permissions of `least`, and all permissions on some channels and their exchanges. */
export function leastFor(...names: string[]): Required<Permissions> {
  const own = names.map((name) => name.replaceAll(/[^\w -]/g, "\\$&")).join("|");
  const anchored = (pattern: string) => own === "" ? `^(${pattern})$` : `^(${pattern}|${own})$`;
  return {
    configure: anchored(least.configure),
    write: anchored(least.write),
    read: anchored(least.read),
  };
}

/** A user of a broker. Disposal deletes the user, which ends its connections. */
export interface User extends AsyncDisposable {
  readonly name: string;
  /** The broker's URI for this user. */
  readonly uri: string;
  /** Replaces the user's permissions. */
  permit(permissions: Permissions): Promise<void>;
  /** Sets the user's limits; `{}` lifts them. */
  limit(limits: { "max-connections"?: number; "max-channels"?: number }): Promise<void>;
}

/**
 * Adds a user to a broker that the tests have started.
 *
 * @param uri the broker, with the vhost of the permissions
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
  const run = (call: string) => evalErlang(control, `ok = rabbit_auth_backend_internal:${call}`);
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

/** The acting user in the broker's log. */
const actor = binary("tests");

const unlimited = { "max-connections": -1, "max-channels": -1 };

/** A vhost of a broker. Disposal deletes it with all its contents. */
export interface Vhost extends AsyncDisposable {
  /** The broker's URI with this vhost. */
  readonly uri: string;
  /** Sets the vhost's limits; `{}` lifts them. */
  limit(limits: { "max-connections"?: number; "max-queues"?: number }): Promise<void>;
}

/**
 * Adds a vhost to a broker that the tests have started and gives the URI's user access.
 *
 * @param queueType the type of queues that are declared without one
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
  const run = (call: string) => evalErlang(control, `ok = ${call}`);
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
      await evalErlang(control, `rabbit_vhost:delete(${vhost}, ${actor})`); // 4.3 has another return value
    },
  };
}

import { fine, type InspectionOptions } from "../../inspection.ts";
import { reservedName } from "../topology/bindings.ts";
import type { AmqpUri } from "../uri.ts";
import type { Answer, Probes, Verb } from "./probes.ts";

/** A permission that an operation needs. */
type Need = readonly [verb: Verb, name: string];

/** An operation, and what it needs beside what every connection needs. docs/operations.md has the same table. */
interface Operation {
  readonly title: string;
  readonly needs: readonly Need[];
}

/** A name of an anonymous channel that nobody has. */
const anonymous = "d0c70000000000000000000000000000";

/**
 * Returns the operations on a channel, and those that need none.
 *
 * @param name the channel that is inspected; without one, only what does not depend on it is asked
 */
export function operationsOn(name: string | undefined): Operation[] {
  const ask: Need = ["write", "amq.default"];
  const hex: Need[] = [["configure", anonymous], ["read", anonymous]];
  const common: Operation[] = [
    { title: "request and use anonymous channels", needs: [...hex, ask] },
    { title: "serve", needs: [ask, ["read", anonymous]] },
    {
      title: "close anonymous channels",
      needs: [ask, ["write", "amq.direct"]],
    },
  ];
  if (name === undefined) return [{ title: "put", needs: [ask] }, ...common];
  const read: Need = ["read", name];
  const write: Need = ["write", name];
  const create: Need = ["configure", name];
  const marker = reservedName(name, "closed");
  const dead = `${name}.dead-letters`;
  return [
    { title: "create the channel", needs: [create, read] },
    { title: "put", needs: [ask, read] },
    { title: "get", needs: [read] },
    { title: "broadcast and close it", needs: [write, read] },
    {
      title: "close it with drain",
      needs: [["configure", marker], ["write", marker], ask, write, read],
    },
    { title: "notice that it is drained", needs: [["configure", marker], write, read] },
    { title: "use its dead letters", needs: [["configure", dead], ["read", dead], ask, read] },
    { title: "delete it", needs: [create, write, read] },
    ...common,
  ];
}

/** Finds out what the user may do. */
export async function inspectPermissions(
  probes: Probes,
  { username, vhost }: AmqpUri,
  { name, report }: InspectionOptions,
): Promise<void> {
  const operations = operationsOn(name);
  const answers = new Map<string, Answer>();
  for (const [verb, of] of operations.flatMap(({ needs }) => needs)) {
    const key = `${verb} ${of}`;
    if (!answers.has(key)) answers.set(key, await ask(probes, verb, of));
  }
  const answerTo = ([verb, of]: Need) => answers.get(`${verb} ${of}`)!;
  const allowed = operations.filter(({ needs }) =>
    needs.every((need) => answerTo(need) === "granted")
  ).map(({ title }) => title);
  if (allowed.length > 0) {
    report(fine("permission", `user ${username} may: ${allowed.join(", ")}`, {
      user: username,
      vhost,
      operations: allowed.join(", "),
    }));
  }
  for (const [key, answer] of answers) {
    if (answer === "granted") continue;
    const [verb, of] = key.split(/ (.*)/s) as [Verb, string];
    const prevented = operations.filter(({ needs }) =>
      needs.some(([other, name]) => other === verb && name === of)
    ).map(({ title }) => title).join(", ");
    const shown = of === anonymous ? "the names of anonymous channels" : of;
    const pattern = of === anonymous ? "[0-9a-f]{32}" : escaped(of);
    const facts = { user: username, vhost, permission: verb, name: of };
    if (answer === "denied") {
      report({
        level: "warning",
        about: "permission",
        what:
          `user ${username} lacks the permission "${verb}" for ${shown}, and cannot: ${prevented}`,
        cure: `if the program needs it, add ${pattern} to the pattern for ${verb} ` +
          `(rabbitmqctl set_permissions -p ${vhost} ${username})`,
        facts,
      });
    } else {
      report({
        level: "note",
        about: "permission",
        what:
          `it is not known whether user ${username} has the permission "${verb}" for ${shown}: ` +
          answer.unknown,
        facts,
      });
    }
  }
}

function ask(probes: Probes, verb: Verb, name: string): Promise<Answer> {
  if (verb === "write" && name.startsWith("amq.")) {
    return probes.publish(name === "amq.default" ? "" : name);
  }
  return probes[verb](name);
}

/** Returns a regular expression for a name. */
function escaped(name: string): string {
  return name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

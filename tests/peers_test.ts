// examples/peers.ts on hosts of its own: processes that are homes hand each other channels, and talk directly.

import assert from "node:assert/strict";
import { example, Program } from "./examples/program.ts";
import { Network, noNamespaces } from "./support/namespaces.ts";
import { test } from "./support/test.ts";

test(
  "peers: four homes on four hosts hand each other channels and talk directly, also without the first",
  {
    skip: noNamespaces(),
  },
  async () => {
    await using network = await Network.open(4);
    const names = ["ann", "bob", "cid", "dan"];
    const addresses = network.hosts.map(({ address }) => `zmq://${address}:5555`);
    const programs: Program[] = [];
    const env = { GROUP_SECRET: "hunter2" };
    try {
      for (const [i, name] of names.entries()) {
        const member = addresses[0]!;
        const args = ["peers.ts", name, addresses[i]!, ...i === 0 ? [] : [member]];
        const command = network.hosts[i]!.on(example(...args as [string]));
        programs.push(new Program(command, env, undefined, "pipe"));
        await programs[i]!.line(new RegExp(`^${name} listens on ${addresses[i]}$`));
      }
      // Each newcomer is told of the others, and says hello to each.
      for (const [i, program] of programs.entries()) {
        for (const name of names.slice(i + 1)) {
          await program.line(new RegExp(`^${name} says hello$`));
        }
      }
      programs[0]!.kill("SIGKILL");
      const others = programs.slice(1);
      for (const [i, program] of others.entries()) program.write(`this is ${names[i + 1]}`);
      for (const [i, program] of others.entries()) {
        for (const [k, name] of names.slice(1).entries()) {
          if (k !== i) await program.line(new RegExp(`^${name}: this is ${name}$`));
        }
        await program.line(/^ann has left: ChannelConnectionError$/);
      }
      network.hosts[3]!.connect(false); // a host that is missed holds nobody up
      programs[1]!.write("where is dan?");
      await programs[2]!.line(/^bob: where is dan\?$/);
      for (const { output } of programs) assert.doesNotMatch(output, /hunter2/);
    } finally {
      for (const program of programs) await program[Symbol.asyncDispose]();
    }
  },
);

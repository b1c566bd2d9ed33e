// home_permitted.ts PORT: homes on one port after the other, each with a peer; reports what the peers got.
import { Channel, generateKeys, type HomeOptions, listen } from "../../home.ts";

const [port] = Deno.args;
const secret = "a-secret";
const homes: [address: string, options: HomeOptions][] = [
  [`zmq://127.0.0.1:${port}`, {}],
  [`zmq://127.0.0.1:${port}`, { keys: generateKeys() }],
  [`zmq://127.0.0.1:${port}`, { secret }],
  [`ws://127.0.0.1:${port}/channels`, { secret }],
];
const got: number[] = [];
for (const [address, options] of homes) {
  const home = await listen(address, options);
  const connection = options.secret ? home.address.replace("//", `//:${secret}@`) : home.address;
  const jobs = new Channel<number>({ name: "jobs", connection });
  await jobs.put(7);
  got.push(await jobs.get());
  await jobs.close();
  await home.close();
}
// deno-lint-ignore no-console -- the parent reads lines of JSON; child_side.ts needs more permissions
console.log(JSON.stringify(got));

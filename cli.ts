/**
 * The program `channelts`: it puts, gets and watches values in channels from a shell. `deno run` runs this entry, and
 * the npm package has it as `channelts`; docs/cli.md describes its commands.
 *
 * @example
 * ```ts
 * import { main } from "@channelts/channel/cli";
 *
 * await main(["--version"]); // as `channelts --version`; the promise resolves with the exit code
 * ```
 *
 * @module
 */
import { main, runProgram } from "./src/cli/main.ts";

export { main };

// Node before 24.2 has no `import.meta.main`; there, the program of the npm package is the only one.
if (import.meta.main) void runProgram(); // not awaited, so that `require` can load the module

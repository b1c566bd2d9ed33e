import { readFileSync, writeFileSync } from "node:fs";
import { generateKeys, type HomeOptions, type KeyPair, listen } from "../../../home.ts";
import { CliError } from "../cli_error.ts";
import type { Command, CommandOption } from "../command.ts";
import type { Context } from "../context.ts";
import { printable } from "../printable.ts";

interface Options {
  readonly secretFile?: string;
  readonly keysFile?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly origin?: readonly string[];
  readonly peer?: readonly string[];
  readonly address?: string;
  readonly insecure?: boolean;
  readonly verbose?: boolean;
}

const options: readonly CommandOption[] = [
  {
    flags: "--secret-file <path>",
    description: "a file whose first line is the secret that peers must know",
  },
  {
    flags: "--keys-file <path>",
    description: "for zmq:, the keys of the home; a missing file is created with new keys",
  },
  { flags: "--cert <path>", description: "for wss:, the certificate in PEM format" },
  { flags: "--key <path>", description: "for wss:, the private key of the certificate" },
  {
    flags: "--origin <origin>",
    description: "for ws: and wss:, an origin whose pages may connect; * is any",
    repeated: true,
  },
  {
    flags: "--peer <key>",
    description: "for zmq:, the public key of a peer that is admitted",
    repeated: true,
  },
  {
    flags: "--address <uri>",
    description: "how peers reach the home, if it differs from where it listens",
  },
  {
    flags: "--insecure",
    description: "admit everyone without encryption, from other machines as well",
  },
  { flags: "--verbose", description: "say which peers come and go" },
];

export const command: Command<Options> = {
  args: "<addresses...>",
  argHelp: { addresses: "where to listen: zmq://HOST:PORT, ws://HOST:PORT or wss://HOST:PORT" },
  description: "Starts a home, which lends channels to peers, until Ctrl-C. It prints the " +
    "addresses for the peers' --connection. The channels are those of --connection. " +
    "Without it, they are in the memory of this process, and end with it.",
  options,
  examples: [
    {
      text: "a home for this machine, whose values end with it",
      line: "channelts home zmq://127.0.0.1:5555",
    },
    {
      text: "lend the channels of a file to other hosts",
      line: "channelts home zmq://0.0.0.0:5555 --connection sqlite:jobs.db --secret-file secret",
    },
  ],
  notes: "Only --connection says what the home serves: the variable CHANNELTS_URI and the " +
    "configuration files are not read, because they may have the address of the home itself. " +
    "An address that other machines can reach needs a secret, keys, or a certificate.",
  async run(context, [addresses], options) {
    const { output, signal } = context;
    const serves = options.connection === undefined ? undefined : await context.connection();
    const home = await listen(addresses as readonly string[], {
      ...optionsOf(context, options),
      ...serves === undefined ? {} : { connection: serves },
    });
    try {
      if (options.json) await output.line(JSON.stringify({ addresses: home.addresses }));
      else for (const address of home.addresses) await output.line(address);
      output.note(
        `home: serving ${serves?.address ?? "the memory of this process"}; Ctrl-C ends it`,
      );
      await aborted(signal);
    } finally {
      await home.close();
    }
  },
};

/** Rejects with the reason of a signal. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

function optionsOf({ output }: Context, given: Options): HomeOptions {
  const { secretFile, keysFile, cert, key, origin, peer, address, insecure, verbose } = given;
  const without = (text: string) => printable(text.replace(/^ChannelTS: /, ""));
  const warn = (text: string) => output.warn(without(text));
  const note = (text: string) => output.note(without(text));
  return {
    ...secretFile === undefined ? {} : { secret: textOf(secretFile).split(/\r?\n/, 1)[0]! },
    ...keysFile === undefined ? {} : { keys: keysOf(keysFile) },
    ...cert === undefined ? {} : { cert: textOf(cert) },
    ...key === undefined ? {} : { key: textOf(key) },
    ...origin === undefined ? {} : { origins: origin },
    ...peer === undefined ? {} : { peers: peer },
    ...address === undefined ? {} : { address },
    ...insecure === undefined ? {} : { insecure },
    logger: { error: warn, warn, ...verbose ? { info: note, debug: note } : {} },
  };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CliError(`home: the file ${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Reads the keys of a file, or makes keys and writes them there, for the user alone. */
function keysOf(path: string): KeyPair {
  const keys = generateKeys();
  try {
    writeFileSync(path, JSON.stringify(keys) + "\n", { flag: "wx", mode: 0o600 });
    return keys;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") {
      throw new CliError(`home: the file ${path} cannot be written: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
  try {
    return JSON.parse(textOf(path)) as KeyPair;
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError(
      `home: the file ${path} has no keys; delete it, and the home makes new ones`, // a cause would show its text
    );
  }
}

import { connect } from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { ChannelConnectionError } from "../../../../shared/errors.ts";
import { unlessAborted } from "../../../../shared/unless_aborted.ts";
import { connectAdvice } from "../../../remote/connect_advice.ts";
import {
  defaultHeartbeat,
  defaultMaxFrame,
  type Dial,
  type Pipe,
  type PipeObserver,
} from "../pipe.ts";
import { notZmtp } from "./greeting.ts";
import { withSodium } from "./optional_package.ts";
import type { Mechanism } from "./mechanism.ts";
import { NullMechanism } from "./null_mechanism.ts";
import { PlainClient } from "./plain.ts";
import type { ZmqUri } from "./uri.ts";
import { ZmtpError } from "./zmtp_error.ts";
import { ZmtpPipe } from "./zmtp_pipe.ts";

/**
 * Returns a function that opens a pipe to the home at a URI.
 *
 * @param secretKey the secret key of this peer, in base64url; absent: a new one for each pipe
 */
export function zmqDial(uri: ZmqUri, secretKey?: string): Dial {
  const mechanism = clientMechanism(uri, secretKey);
  return async (observer, signal) => {
    const made = await unlessAborted(mechanism(), signal);
    return open(uri, made, observer, signal);
  };
}

/** Returns a function that makes the security mechanism of a new connection. */
function clientMechanism(
  uri: ZmqUri,
  secretKey: string | undefined,
): () => Mechanism | Promise<Mechanism> {
  const { isPlain, username = "", secret = "" } = uri;
  if (isPlain) return () => new PlainClient(username, secret);
  if (uri.key === undefined && secret === "") return () => new NullMechanism("DEALER");
  let making: Promise<() => Mechanism> | undefined;
  return async () => {
    making ??= loadCurve(uri, secretKey).catch((error) => {
      making = undefined; // a later attempt loads it again
      throw error;
    });
    return (await making)();
  };
}

async function loadCurve(uri: ZmqUri, secretKey: string | undefined): Promise<() => Mechanism> {
  const { curveClient } = await withSodium(import("./curve_client.ts"));
  return await curveClient(uri, secretKey);
}

function open(
  uri: ZmqUri,
  mechanism: Mechanism,
  observer: PipeObserver,
  signal: AbortSignal,
): Promise<Pipe> {
  return new Promise((resolve, reject) => {
    const { host, port, heartbeat = defaultHeartbeat } = uri;
    const socket = connect({ host, port });
    let isConnected = false;
    const fail = (error: unknown) => {
      end();
      reject(signal.aborted ? signal.reason : connectFailure(uri, error, mechanism, isConnected));
    };
    const abort = () => socket.destroy();
    const timer = setTimeout(() => {
      socket.destroy(
        new Error(isConnected ? silentText : `no answer in ${attemptTimeout / 1000} s`),
      );
    }, attemptTimeout);
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
    signal.addEventListener("abort", abort);
    socket.once("connect", () => isConnected = true);
    const limit = { maxFrame: defaultMaxFrame };
    new ZmtpPipe(socket, { mechanism, expected: "ROUTER", limit, heartbeat }, {
      opened(pipe) {
        end();
        pipe.start(observer);
        resolve(pipe);
      },
      failed: fail,
    });
  });
}

/** Milliseconds for TCP and the handshake. */
const attemptTimeout = 10_000;

const silentText = `the server has accepted the connection and said nothing more in ${
  attemptTimeout / 1000
} s`;

/** Returns the error for a pipe that could not be opened. It says what to try. */
function connectFailure(
  { address, host, port }: ZmqUri,
  error: unknown,
  mechanism: Mechanism,
  isConnected: boolean,
): ChannelConnectionError {
  const isRefusal = error instanceof ZmtpError && error.isRefusal;
  const text = error instanceof Error
    ? error.message
    : isConnected
    ? "the server closed the connection during the handshake"
    : "the server closed the connection";
  // libzmq closes the connection of a peer that has the wrong key or mechanism, and does not say so.
  const mayBeKey = isRefusal || isConnected && !(error instanceof ZmtpError);
  const here = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const { advice, isTransient } = isConnected
    ? { isTransient: true }
    : connectAdvice(text, host, here, { server: "the home" });
  const problem = mayBeKey
    ? `${text}; ${adviceFor(mechanism)}`
    : text === notZmtp
    ? `${text}; check the host, the port and the scheme`
    : advice === undefined
    ? text
    : `${advice} (${text})`;
  return new ChannelConnectionError(`cannot connect to ${address}: ${problem}`, {
    address,
    transient: isTransient && !(error instanceof ZmtpError),
    cause: error,
    ...isRefusal ? { reason: "login" as const } : {},
  });
}

function adviceFor({ name }: Mechanism): string {
  if (name === "PLAIN") return "check the user name and the secret of the home";
  if (name === "CURVE") {
    return "check the key in the address, the secret of the home, and whether the home admits this peer's key";
  }
  return "if the home has a key or a secret, add it to the address: ?key=KEY, or zmq://:SECRET@HOST:PORT";
}

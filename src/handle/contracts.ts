// Interfaces of a handle, for the files that it is made of: they do not import handle.ts.

import type { PendingConnection, Report } from "../connection/configured.ts";
import type { SharedConnection } from "../connection/shared_connection.ts";
import type { Encoding } from "../encoding/encoding.ts";
import type { Link } from "../transports/transport.ts";
import type { DeadLetterQueue } from "./dead_letters.ts";
import type { Call, Operation, OperationOptions, Pending } from "./operation.ts";

/** The options of {@linkcode Channel.closeAll}. */
export interface CloseAllOptions extends OperationOptions {
  /**
   * Whether consumers first get all values that were put before, as with Go's `close`. The channel then stays closed
   * until it is deleted.
   */
  readonly drain?: boolean;
}

/** A handle, as a channel inside a value and as the carrier of values. */
export interface Carrier {
  readonly name: string;
  readonly connection: SharedConnection | PendingConnection;
  /** The encoding of the values that are put. */
  readonly encoding: Encoding;
  /** Whether errors are encoded with their stacks. */
  readonly stacks: boolean;
  /** Resolves when `connection` is not pending any more; rejects if the configuration is invalid. */
  resolved(): Promise<SharedConnection>;
  /** Reports whether who receives the channel's name over `by` finds the channel, or creates it with the same options. */
  isKnown(by: SharedConnection | PendingConnection): boolean;
  /** Creates the channel unless `isKnown`; rejects if `operation`, which waits for that, settles first. */
  makeKnown(operation: Pending, by: SharedConnection | PendingConnection): Promise<void>;
}

/** A handle, as its puts use it. */
export interface PutTarget extends Carrier {
  /** The link; undefined unless the handle is attached. */
  readonly link: Link | undefined;
  /** Checks that an operation may begin. @throws the error that it rejects with otherwise */
  check(action: string, options: OperationOptions): void;
  /** Resolves when the handle is attached; rejects if `operation` settles first. */
  attachFor(operation: Pending): Promise<{ readonly link: Link }>;
  /** Calls `use` with the link, at once or when the handle is attached; if attaching fails, the operation rejects. */
  withLink(operation: Rejectable, use: (link: Link) => void): void;
  /** Begins an operation that waits for something other than a value of the channel. */
  begin<T>(action: string, owner: object, options: OperationOptions): Operation<T>;
  /** Returns the error for a timeout. @param wasRecalled whether the value of a put surely does not arrive */
  timeoutError(action: string, options: OperationOptions, wasRecalled: boolean): Error;
}

/** A handle, as its gets use it. */
export interface GetSource {
  readonly name: string;
  /** The channel's name and address, for people. */
  readonly title: string;
  readonly connection: SharedConnection | PendingConnection;
  /** Milliseconds. */
  readonly retryTimeout: number;
  /** Checks that an operation may begin. @throws the error that it rejects with otherwise */
  check(action: string, options: OperationOptions): void;
  /** Calls `use` with the link, at once or when the handle is attached; if attaching fails, the operation rejects. */
  withLink(operation: Rejectable, use: (link: Link) => void): void;
  /** Returns the error for a timeout. */
  timeoutError(action: string, options: OperationOptions): Error;
  /** Makes an operation. With a timeout of 0, it does not wait for a value, but for the broker's answer. */
  newOperation<T>(call: Call, options: OperationOptions): Operation<T>;
  /** Makes a handle on the dead-letter queue. */
  deadLetters(): DeadLetterQueue;
  /** Reports what rejects no operation. */
  report: Report;
}

/** An operation that can be rejected. */
export type Rejectable = Pending & { reject(reason: unknown): void };

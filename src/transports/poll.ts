import type { Loan } from "./transport.ts";

/** A pending call of `Link.tryTake`, which asks for a message that is there already. */
export interface Poll {
  readonly counted: boolean;
  resolve(loan: Loan | undefined): void;
  reject(error: unknown): void;
}

import type { Report } from "../connection/configured.ts";
import type { Reference } from "../encoding/reference.ts";
import { Handle } from "../handle/handle.ts";
import { isAnonymous } from "../shared/names.ts";
import { defaultLease } from "./channel_options.ts";

/** A reference from a message. A message may hold very many, so each becomes a handle when it is first used. */
export class ReceivedReference {
  readonly #reference: Reference;
  readonly #report: Report | undefined;

  constructor(reference: Reference, report: Report | undefined) {
    this.#reference = reference;
    this.#report = report;
  }

  open(): Handle {
    const { name, connection, encoding } = this.#reference;
    const isNamed = !isAnonymous(name);
    return new Handle({
      name,
      connection,
      encoding,
      report: this.#report,
      stacks: true,
      lease: isNamed ? undefined : defaultLease,
      create: isNamed, // the sender has created an anonymous channel; if it is missing, it was deleted
      owned: false,
    });
  }
}

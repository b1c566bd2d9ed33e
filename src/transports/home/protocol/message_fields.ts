import type { Message } from "../../transport.ts";
import { boundedHeaders } from "../../message_headers.ts";
import { countField, durationField, numberField, stringField } from "./fields.ts";
import type { Frame } from "./frame.ts";

/**
 * Returns the JSON object of a `PUT` or `LEND`: the members of the message but its body.
 *
 * @param again the number of the request in which the message was sent before
 * @param isTry whether the put does not wait for room
 */
export function messageFields(message: Message, again?: number, isTry = false): string {
  const { contentType, id, attempts, reason, copy, delay, expires, priority, headers } = message;
  return JSON.stringify({
    ...{ contentType, id, attempts, reason, copy, delay, expires, priority, headers, again },
    ...isTry ? { try: true } : {},
  });
}

/** @throws {ProtocolError} if a member has the wrong type */
export function messageOf({ fields, body }: Frame): Message {
  const id = stringField(fields, "id");
  const attempts = countField(fields, "attempts");
  const reason = stringField(fields, "reason");
  const copy = countField(fields, "copy");
  const delay = durationField(fields, "delay");
  const expires = durationField(fields, "expires");
  const priority = numberField(fields, "priority");
  const headers = boundedHeaders(fields.headers);
  return {
    body,
    contentType: stringField(fields, "contentType") ?? "",
    ...id === undefined ? {} : { id },
    ...attempts === undefined ? {} : { attempts },
    ...reason === undefined ? {} : { reason },
    ...copy === undefined ? {} : { copy },
    ...delay === undefined ? {} : { delay },
    ...expires === undefined ? {} : { expires },
    ...priority === undefined ? {} : { priority },
    ...headers === undefined ? {} : { headers },
  };
}

// Frames that no well-behaved peer or home sends, or not then: most are valid in form and wrong in their numbers, types
// or order; some are damaged.

import type { Random } from "../codec/prng.ts";

const encoder = new TextEncoder();

const wrongNumbers = ["0", "-1", "1.5", "1e3", "01", "9007199254740992", "999999999999999999", "x"];

const values = [
  "true",
  "false",
  "null",
  "0",
  "1",
  "-1",
  "1e308",
  "1e999",
  '""',
  '"x"',
  `"${"y".repeat(300)}"`,
  '"\\u0000"',
  '"\\ud800"',
  "[]",
  "{}",
  '{"__proto__":{"polluted":true}}',
  '["delay",1]',
];

const members = [
  "__proto__",
  "constructor",
  "toString",
  "create",
  "capacity",
  "lease",
  "isNew",
  "quorum",
  "contentType",
  "id",
  "attempts",
  "reason",
  "delay",
  "expires",
  "priority",
  "try",
  "again",
  "counted",
  "group",
  "count",
  "control",
  "moved",
  "version",
  "session",
  "token",
  "home",
  "terms",
  "rendezvous",
  "maxFrame",
  "maxPuts",
  "value",
  "message",
  "transient",
  "size",
  "limit",
];

// L and R are new numbers of a link and a request, N and P earlier ones.
const toHome = [
  'OPEN L R {"name":"fuzz A","create":true}',
  'OPEN L R {"name":"fuzz B","create":true,"capacity":0}',
  'OPEN L R {"name":"fuzz C","create":true,"capacity":2,"lease":60000}',
  'OPEN L R {"name":"fuzz D","create":false}',
  'PUT N R {"contentType":"application/json"}\n42',
  'PUT N R {"contentType":"application/cbor","id":"a.1","attempts":2}\n\x01',
  'PUT N R {"again":P,"try":true}\nx',
  'PUT N R {"delay":5,"expires":20,"priority":3}\ny',
  "PUT N R",
  "TAKE N R",
  'TAKE N R {"counted":true,"group":1}',
  'TRY N R {"count":3}',
  "TRY N R",
  "ROOM N R",
  'ROOM N R {"group":1}',
  "EMPTY N R",
  'SAY N R {"control":true}\nevent',
  "SAY N R\n\x00",
  "SYNC N R",
  "DRAIN N R",
  "DEPTH N R",
  "STATS N R",
  "DELETE N R",
  "CLOSE N R",
  "ACC P P P",
  'ACC P {"moved":true}',
  "REL P",
  'REL P P {"counted":true}',
  "DROP P",
  "PING",
  "UNKNOWN N R",
  "UNKNOWN",
];

const toPeer = [
  'WELCOME {"version":1,"home":"h","terms":["delay"],"rendezvous":true,"maxFrame":1000,"maxPuts":2}',
  'REFUSED {"name":"ChannelConnectionError","message":"no"}',
  "OK P",
  'OK P {"value":3}',
  'OK P {"value":-3}',
  "FULL P",
  "WAITS P",
  'LEND P 1 0 {"contentType":"application/json"}\n42',
  'LEND P 2 1 {"contentType":"application/cbor","id":"a.1"}\n\x01',
  "LEND P 0 7\n",
  "LEND P",
  "NONE P",
  "ROOM P",
  "EMPTY P",
  'NO P {"name":"ChannelClosedError","message":"gone","reason":"delete"}',
  'NO P {"name":"TypeError","message":"other"}',
  'NO P {"name":"__proto__"}',
  "NO P",
  "SAID N\nevent",
  "SAID N",
  "MISSED N 5",
  "MISSED N -5",
  "GONE N",
  "PONG",
  "UNKNOWN N P",
];

/** The numbers of a conversation. */
export class Conversation {
  readonly links: string[] = ["1"];
  readonly requests: string[] = ["1"];
  #next = 2;

  /** Returns a number in place of a letter of a template. */
  number(random: Random, letter: string): string {
    if (random.below(80) === 0) return random.pick(wrongNumbers);
    const used = letter === "L" || letter === "N" ? this.links : this.requests;
    if (used.length > 0 && (letter === "N" || letter === "P" || random.below(100) === 0)) {
      return random.pick(used);
    }
    const number = String(this.#next++);
    used.push(number);
    return number;
  }
}

/** Returns a frame that a hostile peer sends to a home. */
export function frameToHome(random: Random, numbers: Conversation): Uint8Array<ArrayBuffer> {
  return frame(random, random.pick(toHome), numbers);
}

/** Returns a frame that a hostile home sends to a peer, with the numbers that the peer has used. */
export function frameToPeer(random: Random, numbers: Conversation): Uint8Array<ArrayBuffer> {
  return frame(random, random.pick(toPeer), numbers);
}

function frame(random: Random, template: string, numbers: Conversation): Uint8Array<ArrayBuffer> {
  let text = template.replaceAll(/\b[LNRP]\b/g, (letter) => numbers.number(random, letter));
  if (random.below(20) === 0) text = withMember(random, text);
  const bytes = encoder.encode(text);
  return random.below(60) === 0 ? damaged(random, bytes) : bytes;
}

/** Sets a member of the frame's JSON object to a value that may be of the wrong type. */
function withMember(random: Random, text: string): string {
  const [header = "", body] = text.split("\n");
  const json = header.indexOf(" {");
  const [before, inside] = json < 0
    ? [header, ""]
    : [header.slice(0, json), header.slice(json + 2, -1)];
  const added = `${JSON.stringify(random.pick(members))}:${random.pick(values)}`;
  const all = `${before} {${inside}${inside === "" ? "" : ","}${added}}`;
  return body === undefined ? all : `${all}\n${body}`;
}

function damaged(random: Random, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice();
  switch (random.below(4)) {
    case 0:
      return copy.slice(0, random.below(copy.length));
    case 1:
      return new Uint8Array([...copy, ...Array.from({ length: 9 }, () => random.below(256))]);
    default:
      copy[random.below(copy.length)] = random.below(256);
      return copy;
  }
}

import { CliError } from "./cli_error.ts";

/** The most that a value may be nested; the codec refuses more. */
const maxDepth = 10_000;

/**
 * Returns the length of the first item of a CBOR sequence (RFC 8742), or undefined if it is not complete. Only its
 * heads are read; the codec checks the rest.
 */
export function itemLength(
  bytes: Uint8Array,
): { readonly length: number; readonly skip: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  /** For each open item, how many items it still has; Infinity until a break. */
  const open: number[] = [1];
  while (open.length > 0) {
    if (open[open.length - 1] === 0) {
      open.pop();
      continue;
    }
    if (at >= bytes.length) return undefined;
    const first = bytes[at++]!;
    if (first === 0xff) {
      if (open.pop() !== Infinity) throw malformed();
      continue;
    }
    const size = argumentSize(first & 31);
    if (at + size > bytes.length) return undefined;
    const argument = argumentOf(view, at, first & 31);
    at += size;
    open[open.length - 1]!--;
    const type = first >> 5;
    if (argument === Infinity) {
      if (type < 2 || type > 5) throw malformed();
      open.push(Infinity);
    } else if (type === 2 || type === 3) at += argument;
    else if (type === 4 || type === 6) open.push(type === 6 ? 1 : argument);
    else if (type === 5) open.push(2 * argument);
    if (open.length > maxDepth) throw malformed();
    if (at > bytes.length) return undefined;
  }
  return { length: at, skip: 0 };
}

function argumentSize(info: number): number {
  if (info < 24 || info === 31) return 0;
  if (info > 27) throw malformed();
  return 2 ** (info - 24);
}

function argumentOf(view: DataView, at: number, info: number): number {
  switch (info) {
    case 24:
      return view.getUint8(at);
    case 25:
      return view.getUint16(at);
    case 26:
      return view.getUint32(at);
    case 27:
      return Number(view.getBigUint64(at));
    case 31:
      return Infinity;
  }
  return info;
}

function malformed(): CliError {
  return new CliError("stdin: the input is not CBOR");
}

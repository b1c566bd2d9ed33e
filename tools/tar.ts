import { gzipSync } from "node:zlib";

/** The time of each file: the one that npm writes. It is fixed, so that the same files give the same bytes. */
const MTIME = Date.UTC(1985, 9, 26, 8, 15) / 1000;

/**
 * Writes a gzipped tar archive (POSIX ustar) of regular files. The same files give the same bytes.
 *
 * @param files paths and contents, in the order of the archive
 */
export function writeTarball(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [path, content] of files) {
    parts.push(header(path, content.length), content);
    parts.push(new Uint8Array(-content.length & 511));
  }
  parts.push(new Uint8Array(1024)); // the end of the archive
  return gzipSync(Buffer.concat(parts), { level: 9, memLevel: 9 });
}

function header(path: string, size: number): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length > 100) throw new RangeError(`the path is longer than 100 bytes: ${path}`);
  const block = new Uint8Array(512);
  const text = (offset: number, value: string) =>
    block.set(new TextEncoder().encode(value), offset);
  const octal = (offset: number, length: number, value: number) =>
    text(offset, value.toString(8).padStart(length - 1, "0"));
  block.set(name);
  octal(100, 8, 0o644);
  octal(108, 8, 0); // user
  octal(116, 8, 0); // group
  octal(124, 12, size);
  octal(136, 12, MTIME);
  text(148, " ".repeat(8)); // the checksum counts as spaces
  text(156, "0"); // a regular file
  text(257, "ustar\0" + "00");
  octal(148, 7, block.reduce((sum, byte) => sum + byte, 0));
  return block;
}

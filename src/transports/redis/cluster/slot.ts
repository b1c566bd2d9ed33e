import { Buffer } from "node:buffer";

/**
 * Returns the slot of a key in a cluster: the CRC-16 (XMODEM: polynomial 0x1021, from 0) of what is in its first pair of braces,
 * or of the whole key if there is nothing in them, modulo 16,384.
 */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of Buffer.from(hashed)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc % slots;
}

/** The number of slots of a cluster. */
export const slots = 16_384;

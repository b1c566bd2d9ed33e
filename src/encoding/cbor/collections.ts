import { KeyHashes } from "./key_hashes.ts";
import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { ARRAY, JS_MAP, MAP, MEMORY_OF_SLOT, SET } from "./format.ts";
import { intrinsic } from "./intrinsics.ts";

const MEMORY_OF_COLLECTION = 320;
const MEMORY_OF_ENTRY = 96;

const forEachOfMap = Map.prototype.forEach;
const forEachOfSet = Set.prototype.forEach;

const tooDense = "numbers that take too long to tell apart";

export function isMap(object: object): boolean {
  return intrinsic<number>(Map.prototype, "size", object) >= 0;
}

export function isSet(object: object): boolean {
  return intrinsic<number>(Set.prototype, "size", object) >= 0;
}

/** Writes a Map. The entries are collected first, so that entries that a getter adds meanwhile do not count. */
export function writeMap(encoder: Encoder, map: object): void {
  const entries: unknown[] = [];
  forEachOfMap.call(map as Map<unknown, unknown>, (value, key) => entries.push(key, value));
  checkKeys(encoder, map, entries, 2);
  encoder.spend((MEMORY_OF_ENTRY + MEMORY_OF_SLOT) * entries.length);
  encoder.tag(JS_MAP);
  encoder.head(MAP, entries.length / 2);
  for (let i = 0; i < entries.length; i++) encoder.value(entries[i]);
}

export function writeSet(encoder: Encoder, set: object): void {
  const items: unknown[] = [];
  forEachOfSet.call(set as Set<unknown>, (item) => items.push(item));
  checkKeys(encoder, set, items, 1);
  encoder.spend((MEMORY_OF_ENTRY + MEMORY_OF_SLOT) * items.length);
  encoder.tag(SET);
  encoder.head(ARRAY, items.length);
  for (let i = 0; i < items.length; i++) encoder.value(items[i]);
}

/** Rejects keys that `decode` would refuse. */
function checkKeys(encoder: Encoder, holder: object, items: unknown[], step: number): void {
  if (items.length < KeyHashes.least) return;
  const hashes = new KeyHashes();
  for (let i = 0; i < items.length; i += step) {
    if (!hashes.isTooDense(items[i])) continue;
    encoder.reject("a Map or Set of numbers that engines cannot tell apart fast", holder);
  }
}

export function readMap(decoder: Decoder, number: number): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>();
  decoder.spend(MEMORY_OF_COLLECTION);
  decoder.made(map, number);
  const hashes = new KeyHashes();
  decoder.items(MAP, () => {
    decoder.spend(MEMORY_OF_ENTRY);
    const key = decoder.value();
    if (hashes.isTooDense(key)) decoder.fail(tooDense);
    map.set(key, decoder.value());
  });
  return map;
}

export function readSet(decoder: Decoder, number: number): Set<unknown> {
  const set = new Set<unknown>();
  decoder.spend(MEMORY_OF_COLLECTION);
  decoder.made(set, number);
  const hashes = new KeyHashes();
  decoder.items(ARRAY, () => {
    decoder.spend(MEMORY_OF_ENTRY);
    const item = decoder.value();
    if (hashes.isTooDense(item)) decoder.fail(tooDense);
    set.add(item);
  });
  return set;
}

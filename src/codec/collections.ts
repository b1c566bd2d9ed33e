import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { ARRAY, JS_MAP, MAP, SET } from "./format.ts";

const MEMORY_OF_COLLECTION = 256;

const forEachOfMap = Map.prototype.forEach;
const forEachOfSet = Set.prototype.forEach;

/** The entries are collected first: what a getter adds while they are written does not count. */
export function writeMap(encoder: Encoder, object: object): void {
  const entries: unknown[] = [];
  try {
    forEachOfMap.call(object as Map<unknown, unknown>, (value, key) => entries.push(key, value));
  } catch {
    encoder.rejectHolder("an object that only claims to be a Map");
  }
  encoder.tag(JS_MAP);
  encoder.head(MAP, entries.length / 2);
  for (let i = 0; i < entries.length; i++) encoder.value(entries[i]);
}

export function writeSet(encoder: Encoder, object: object): void {
  const items: unknown[] = [];
  try {
    forEachOfSet.call(object as Set<unknown>, (item) => items.push(item));
  } catch {
    encoder.rejectHolder("an object that only claims to be a Set");
  }
  encoder.tag(SET);
  encoder.head(ARRAY, items.length);
  for (let i = 0; i < items.length; i++) encoder.value(items[i]);
}

export function readMap(decoder: Decoder): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>();
  decoder.spend(MEMORY_OF_COLLECTION);
  decoder.items(MAP, () => map.set(decoder.value(), decoder.value()));
  return map;
}

export function readSet(decoder: Decoder): Set<unknown> {
  const set = new Set<unknown>();
  decoder.spend(MEMORY_OF_COLLECTION);
  decoder.items(ARRAY, () => set.add(decoder.value()));
  return set;
}

import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { DATE_SECONDS } from "./format.ts";
import type { GenericReader } from "./types.ts";

const MEMORY_OF_DATE = 160;

/** The first and the last millisecond of the years 1 to 9999, which every language supports. */
const YEAR_1 = -62_135_596_800_000;
const END_OF_YEAR_9999 = 253_402_300_799_999;

/** RFC 3339, section 5.6. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

const { getTime } = Date.prototype;

export function isDate(object: object): boolean {
  return getTime.call(object) !== undefined;
}

export function writeDate(encoder: Encoder, date: object): void {
  const ms = getTime.call(date);
  const seconds = ms / 1000;
  const isCommon = ms >= YEAR_1 && ms <= END_OF_YEAR_9999 && Math.round(seconds * 1000) === ms;
  if (isCommon) encoder.tag(DATE_SECONDS);
  else encoder.generic("Date", 1);
  encoder.number(isCommon ? seconds : ms);
}

export function readSecondsDate(decoder: Decoder): Date {
  return dateOf(decoder, Math.round(decoder.expectNumber() * 1000));
}

export function readTextDate(decoder: Decoder): Date {
  const text = decoder.expectText();
  return dateOf(decoder, RFC_3339.test(text) ? Date.parse(text) : NaN);
}

function dateOf(decoder: Decoder, ms: number): Date {
  decoder.spend(MEMORY_OF_DATE);
  const date = new Date(ms);
  if (Number.isNaN(getTime.call(date))) decoder.fail("an invalid Date");
  return date;
}

/** Reads a Date that tag 1 cannot represent. Only this form has invalid Dates. */
export const genericDate: GenericReader = {
  most: 1,
  read: (decoder, [ms]) => {
    if (typeof ms !== "number") return undefined;
    return Number.isNaN(ms) ? new Date(NaN) : dateOf(decoder, ms);
  },
};

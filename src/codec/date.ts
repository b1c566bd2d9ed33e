import type { Arguments } from "./arguments.ts";
import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { DATE_SECONDS } from "./format.ts";
import { methodOf } from "./intrinsics.ts";

const MEMORY_OF_DATE = 160;

/** The first and the last millisecond of the years 1 to 9999, which every language can read. */
const YEAR_1 = -62_135_596_800_000;
const END_OF_YEAR_9999 = 253_402_300_799_999;

/** RFC 3339, section 5.6. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

const timeOf = methodOf<number>(Date.prototype, "getTime");

export function isDate(object: object): boolean {
  timeOf(object);
  return true;
}

export function writeDate(encoder: Encoder, date: object): void {
  const ms = timeOf(date);
  const seconds = ms / 1000;
  const isCommon = ms >= YEAR_1 && ms <= END_OF_YEAR_9999 && Math.round(seconds * 1000) === ms;
  if (isCommon) encoder.tag(DATE_SECONDS);
  else encoder.generic("Date", 1);
  encoder.number(isCommon ? seconds : ms);
}

export function readSecondsDate(decoder: Decoder): Date {
  return validDate(decoder, Math.round(decoder.expectNumber() * 1000));
}

export function readTextDate(decoder: Decoder): Date {
  const text = decoder.expectText();
  if (!RFC_3339.test(text)) decoder.fail("a date that is not of RFC 3339");
  return validDate(decoder, Date.parse(text));
}

/** The form for what tag 1 does not hold; the only one in which a Date may be invalid. */
export function readGenericDate(args: Arguments): Date {
  const ms = args.required.expectNumber();
  return Number.isNaN(ms) ? new Date(NaN) : validDate(args.decoder, ms);
}

function validDate(decoder: Decoder, ms: number): Date {
  decoder.spend(MEMORY_OF_DATE);
  const date = new Date(ms);
  if (Number.isNaN(timeOf(date))) decoder.fail("a date out of range");
  return date;
}

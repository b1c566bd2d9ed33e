import type { Decoder } from "./decode.ts";
import type { Encoder } from "./encode.ts";
import { DATE_SECONDS } from "./format.ts";

const MEMORY_OF_DATE = 96;

/** The first and the last millisecond of the years 1 to 9999, which every language can read. */
const YEAR_1 = -62_135_596_800_000;
const END_OF_YEAR_9999 = 253_402_300_799_999;

/** RFC 3339, section 5.6. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

const getTime = Date.prototype.getTime;

export function writeDate(encoder: Encoder, object: object): void {
  const ms = timeOf(encoder, object);
  const seconds = ms / 1000;
  const isCommon = ms >= YEAR_1 && ms <= END_OF_YEAR_9999 && Math.round(seconds * 1000) === ms;
  if (isCommon) encoder.tag(DATE_SECONDS);
  else encoder.generic("Date", 1);
  encoder.number(isCommon ? seconds : ms);
}

function timeOf(encoder: Encoder, object: object): number {
  try {
    return getTime.call(object);
  } catch {
    encoder.rejectHolder("an object that only claims to be a Date");
  }
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
export function readGenericDate(decoder: Decoder, args: readonly unknown[]): Date {
  const [ms] = args;
  if (args.length !== 1 || typeof ms !== "number") decoder.fail("a Date without a time");
  return Number.isNaN(ms) ? new Date(NaN) : validDate(decoder, ms);
}

function validDate(decoder: Decoder, ms: number): Date {
  decoder.spend(MEMORY_OF_DATE);
  const date = new Date(ms);
  if (Number.isNaN(getTime.call(date))) decoder.fail("a date out of range");
  return date;
}

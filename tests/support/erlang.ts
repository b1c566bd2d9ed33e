import { type BrokerControl, evaluate } from "./control.ts";

/** Evaluates an Erlang expression at a broker; resolves with its value as JSON. */
export async function ask<T>(control: BrokerControl, expression: string): Promise<T> {
  const text = await evaluate(
    control,
    `base64:encode_to_string(rabbit_json:encode(${expression})).\n`,
  );
  return JSON.parse(text) as T;
}

/** Evaluates Erlang expressions at a broker for what they do. */
export async function tell(control: BrokerControl, expressions: string): Promise<void> {
  await evaluate(control, `begin ${expressions} end, base64:encode_to_string(<<"done">>).\n`);
}

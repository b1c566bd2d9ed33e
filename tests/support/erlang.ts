import { type BrokerControl, evaluate } from "./control.ts";

/** Evaluates an Erlang expression on a broker and resolves with its value, passed as JSON. */
export async function evalJson<T>(control: BrokerControl, expression: string): Promise<T> {
  const text = await evaluate(
    control,
    `base64:encode_to_string(rabbit_json:encode(${expression})).\n`,
  );
  return JSON.parse(text) as T;
}

/** Evaluates Erlang expressions on a broker for their effect. */
export async function evalErlang(control: BrokerControl, expressions: string): Promise<void> {
  await evaluate(control, `begin ${expressions} end, base64:encode_to_string(<<"done">>).\n`);
}

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PrivateBroker } from "../support/broker.ts";
import { evalErlang, evalJson } from "../support/erlang.ts";

/** Returns the names of the open connections. */
export async function connectionNames({ control }: PrivateBroker): Promise<string[]> {
  return await evalJson(
    control,
    `[N || P <- rabbit_networking:connections(),
      {client_properties, T} <- try rabbit_networking:connection_info(P, [client_properties])
                                catch _:_ -> [] end,
      is_list(T), % it has opened
      {<<"connection_name">>, longstr, N} <- T]`,
  );
}

/** Closes every connection, as `rabbitmqctl close_all_connections` does. */
export async function closeConnections({ control }: PrivateBroker): Promise<void> {
  await evalErlang(
    control,
    `rabbit_networking:close_connections(rabbit_networking:connections(), "an operator did it")`,
  );
}

/**
 * Closes every AMQP channel separately but no connection: the broker gets an acknowledgement of a message that was
 * never delivered, as if the client had sent it. `rabbit_channel:do` does this, which 4.3 no longer has.
 */
export async function closeAmqpChannels({ control }: PrivateBroker): Promise<void> {
  await evalErlang(
    control,
    `Wait = fun Wait(_, 0) -> exit(it_goes_on);
                Wait(C, N) -> case is_process_alive(C) of
                  true -> timer:sleep(5), Wait(C, N - 1);
                  false -> ok
                end
            end,
     Ack = {method, {'basic.ack', 1 bsl 40, false}, none, noflow},
     [begin gen_server2:cast(C, Ack), Wait(C, 1000) end
       || C <- rabbit_channel:list()]`,
  );
}

/** Sets or clears the broker's memory alarm, during which it blocks publishers. */
export async function setMemoryAlarm({ control }: PrivateBroker, on: boolean): Promise<void> {
  await evalErlang(
    control,
    `vm_memory_monitor:set_vm_memory_high_watermark(${on ? "0.000001" : "0.4"})`,
  );
}

/**
 * Sets the time (ms) for which AMQP channels that are opened from now on may hold a delivery. The default is 30
 * minutes.
 */
export async function setAckTimeout(
  { control }: PrivateBroker,
  timeout: number,
  checked: number,
): Promise<void> {
  await evalErlang(
    control,
    `application:set_env(rabbit, consumer_timeout, ${timeout}),
     application:set_env(rabbit, channel_tick_interval, ${checked})`,
  );
}

export const defaultAckTimeout = [1_800_000, 60_000] as const;

/** Returns how many connections get the announcements of a channel. */
export async function listeners({ control }: PrivateBroker, name: string): Promise<number> {
  return await evalJson(
    control,
    `length(rabbit_binding:list_for_source(rabbit_misc:r(<<"/">>, exchange, <<"${name}">>)))`,
  );
}

/** Reports whether the broker has requeued a delivery by its ack timeout, according to its log. */
export function hasTimedOut({ directory }: PrivateBroker): boolean {
  const folder = join(directory, "log");
  return readdirSync(folder).some((file) =>
    readFileSync(join(folder, file), "utf8").includes("has timed out waiting")
  );
}

import { type PrivateBroker, startPrivateBroker } from "./private_node.ts";
import { evalJson } from "./erlang.ts";

/** Private nodes that form a cluster. */
export interface Cluster extends AsyncDisposable {
  readonly nodes: readonly PrivateBroker[];
  /** An AMQP URI that lists the nodes in this order, by their indexes. */
  uri(...order: number[]): string;
  /** The node that leads a quorum queue, as reported by a running node. */
  leader(queue: string): Promise<PrivateBroker>;
  /** The node that holds the connection of this name; undefined if there is no such connection. */
  connectedTo(name: string): Promise<PrivateBroker | undefined>;
  /** How many members of a quorum queue run. */
  membersOf(queue: string): Promise<number>;
}

/** Starts private nodes and makes them a cluster, in about 25 s for three. Disposal removes all of them. */
export async function startCluster(count: number): Promise<Cluster> {
  const first = await startPrivateBroker();
  const starting = Array.from({ length: count - 1 }, () => startPrivateBroker({ peer: first }));
  const started = await Promise.allSettled(starting);
  const nodes = [first];
  for (const each of started) if (each.status === "fulfilled") nodes.push(each.value);
  try {
    await Promise.all(starting);
    // One after the other: two nodes that join at the same time may refuse each other.
    for (const node of nodes.slice(1)) await join(node, first);
  } catch (error) {
    await dispose(nodes);
    throw error;
  }
  return new PrivateCluster(nodes);
}

/** Resets a node and lets it join the other's cluster. */
async function join(node: PrivateBroker, other: PrivateBroker): Promise<void> {
  await node.ctl("stop_app");
  await node.ctl("join_cluster", other.control.env.RABBITMQ_NODENAME!);
  await node.ctl("start_app");
}

class PrivateCluster implements Cluster {
  readonly nodes: readonly PrivateBroker[];

  constructor(nodes: readonly PrivateBroker[]) {
    this.nodes = nodes;
  }

  uri(...order: number[]): string {
    return `amqp://${order.map((i) => `127.0.0.1:${this.nodes[i]!.port}`).join(",")}`;
  }

  async leader(queue: string): Promise<PrivateBroker> {
    const node = await this.#query<string>(
      `begin {ok, Q} = ${lookup(queue)},
       {ok, _, {_, N}} = ra:members(amqqueue:get_pid(Q)),
       atom_to_binary(N) end`,
    );
    return this.#byName(node)!;
  }

  async connectedTo(name: string): Promise<PrivateBroker | undefined> {
    const nodes = await this.#query<string[]>(
      `[atom_to_binary(node(P)) || P <- rabbit_networking:connections(),
        {client_properties, T} <- try rabbit_networking:connection_info(P, [client_properties])
                                  catch _:_ -> [] end,
        is_list(T), % it has opened
        {<<"connection_name">>, longstr, N} <- T, N =:= <<"${name}">>]`,
    );
    return this.#byName(nodes[0]);
  }

  async membersOf(queue: string): Promise<number> {
    return await this.#query<number>(
      `begin {ok, Q} = ${lookup(queue)},
       {Name, _} = amqqueue:get_pid(Q),
       #{nodes := Members} = amqqueue:get_type_state(Q),
       Ns = if is_map(Members) -> maps:keys(Members); true -> Members end, % a map since 4.3
       length([N || N <- Ns, is_pid(rpc:call(N, erlang, whereis, [Name]))]) end`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await dispose(this.nodes);
  }

  /** Queries the first node that answers. */
  async #query<T>(expression: string): Promise<T> {
    const errors: unknown[] = [];
    for (const { control } of this.nodes) {
      try {
        return await evalJson<T>(control, expression);
      } catch (error) {
        errors.push(error);
      }
    }
    throw new AggregateError(errors, "no node of the cluster answers");
  }

  #byName(name: string | undefined): PrivateBroker | undefined {
    return this.nodes.find(({ control }) => control.env.RABBITMQ_NODENAME === name);
  }
}

/** Disposes of the first node last, because its epmd serves all. */
async function dispose([first, ...others]: readonly PrivateBroker[]): Promise<void> {
  await Promise.all(others.map((node) => node[Symbol.asyncDispose]()));
  await first![Symbol.asyncDispose]();
}

function lookup(queue: string): string {
  return `rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${queue}">>))`;
}

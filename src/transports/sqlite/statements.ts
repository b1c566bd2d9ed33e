import type { DatabaseSync, StatementSync } from "node:sqlite";

export type Value = string | number | Uint8Array | null;

/** SQL of one file, each statement prepared once. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  run(sql: string, ...values: Value[]): { readonly changes: number | bigint } {
    return this.#statement(sql).run(...values);
  }

  get<T>(sql: string, ...values: Value[]): T | undefined {
    return this.#statement(sql).get(...values) as T | undefined;
  }

  all<T>(sql: string, ...values: Value[]): T[] {
    return this.#statement(sql).all(...values) as T[];
  }

  lastId(): number {
    return this.get<{ id: number }>("SELECT last_insert_rowid() AS id")!.id;
  }

  close(): void {
    this.#db.close();
  }

  #statement(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) this.#prepared.set(sql, statement = this.#db.prepare(sql));
    return statement;
  }
}

import type { DatabaseSync, StatementSync } from "node:sqlite";

/** A value that SQLite stores. */
export type Value = string | number | Uint8Array | null;

/** Thrown within a transaction, which must be rolled back and repeated once the statement is prepared. */
export class UnpreparedError extends Error {
  override readonly name = "UnpreparedError";
  readonly sql: string;

  constructor(sql: string) {
    super("a statement is not prepared");
    this.sql = sql;
  }
}

/**
 * The SQL statements of one session. Each is prepared once, and never within a transaction: if a Worker is
 * terminated while it prepares a statement, Bun (1.4.5) leaves the file open and locked. Parameters are `?` without
 * numbers: Node up to 22.19 and 24.6 takes `?1` for a name.
 */
export class Statements {
  /** The session that runs the statements; 0 until it has a row in the file. */
  session = 0;
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();
  #isInTransaction = false;

  constructor(db: DatabaseSync) {
    this.#db = db;
    for (const sql of ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"]) this.prepare(sql);
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

  begin(): void {
    this.run("BEGIN IMMEDIATE");
    this.#isInTransaction = true;
  }

  commit(): void {
    this.run("COMMIT");
    this.#isInTransaction = false;
  }

  rollback(): void {
    this.#isInTransaction = false;
    this.run("ROLLBACK");
  }

  prepare(sql: string): void {
    this.#prepared.set(sql, this.#db.prepare(sql));
  }

  lastId(): number {
    return this.get<{ id: number }>("SELECT last_insert_rowid() AS id")!.id;
  }

  close(): void {
    this.#db.close();
  }

  #statement(sql: string): StatementSync {
    if (!this.#prepared.has(sql)) {
      if (this.#isInTransaction) throw new UnpreparedError(sql);
      this.prepare(sql);
    }
    return this.#prepared.get(sql)!;
  }
}

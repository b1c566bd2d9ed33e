import { query } from "../support/sqlite_file.ts";

/** A file of SQLite that the processes of a soak test share. */
export class SqliteFile {
  readonly path: string;
  readonly uri: string;

  constructor(path: string) {
    this.path = path;
    this.uri = `sqlite:${path}`;
  }

  /** How many processes get the announcements of a channel. */
  listeners(channel: string): Promise<number> {
    const [row] = query<{ n: number }>(
      this.path,
      `SELECT count(*) AS n FROM links JOIN channels ON channels.id = links.channel
         WHERE channels.name = '${channel}'`,
    );
    return Promise.resolve(row!.n);
  }
}

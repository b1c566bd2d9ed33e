/** The application id in the header of the file: "ChTS". */
export const applicationId = 0x43685453;

/**
 * The SQL that migrates a file of version n to version n + 1. A released step is never changed; a change of the
 * schema is a new step.
 *
 * Invariants of the tables after each transaction:
 * - A message's `holder` is 0 while it waits; the id of the session that holds it; or the negative id of the
 *   session to which another session has given it, until that session has recorded an attempt.
 * - `attempts` counts the attempts that were begun, including the current one as soon as it is recorded.
 * - A channel's `depth` is the number of its messages that wait. While it is not 0, the channel has no waiters.
 * - `expires` of a channel is set while a channel with a lease has no link.
 * - A session removes its rows when it ends. If it was killed, another session detects that and removes them.
 * - Times are milliseconds since 1970 of the file's own clock, which is `ahead` of the machine's clock. Each
 *   transaction begins with what is due and what has expired; until then a due message is in `delayed`, and an
 *   expired one among the messages that wait.
 * - The `size` of a channel with a `capacity` is the number of its messages, including those on loan and those
 *   delayed; without a capacity it is 0. A session that has found the channel full is among its `putters`, until
 *   another session removes it and asks it to try again.
 * - A closed channel takes no messages. Its present messages can still be got.
 * - Mail of kind 0 reports new announcements, mail of kind 1 a changed state of the channel. A session has at
 *   most one mail of each kind for each channel.
 * - An announcement is kept while a session on its channel has not read it, unless it is beyond the limits. A
 *   channel's `announced` is the number of its last announcement; `heard` in `links` is the last one that the
 *   session has read. `bytes` counts all announcements of a channel up to this one. An announcement without an
 *   event says that the channel is deleted; the link of a session that has not read it outlasts the channel.
 * - Nobody gets a message of a deleted channel. `trash` lists the deleted channels that still have messages.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    lease INTEGER,
    expires INTEGER,
    depth INTEGER NOT NULL DEFAULT 0
  );
  CREATE INDEX channels_by_expiry ON channels (expires) WHERE expires IS NOT NULL;
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel INTEGER NOT NULL,
    holder INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    redelivered INTEGER NOT NULL DEFAULT 0,
    message_id TEXT,
    content_type TEXT NOT NULL,
    reason TEXT,
    body BLOB NOT NULL
  );
  CREATE INDEX messages_by_holder ON messages (holder, channel, id);
  CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE
  );
  CREATE TABLE links (
    channel INTEGER NOT NULL,
    session INTEGER NOT NULL,
    PRIMARY KEY (channel, session)
  ) WITHOUT ROWID;
  CREATE INDEX links_by_session ON links (session);
  CREATE TABLE waiters (
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    session INTEGER NOT NULL
  );
  CREATE INDEX waiters_by_channel ON waiters (channel, id);
  CREATE INDEX waiters_by_session ON waiters (session);
  CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    event BLOB
  );
  CREATE INDEX mail_by_session ON mail (session, id);
  CREATE TABLE trash (channel INTEGER PRIMARY KEY);
  `,
  // Messages with a delay, an expiry or a priority.
  `
  ALTER TABLE messages ADD COLUMN expires INTEGER;
  ALTER TABLE messages ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX messages_by_expiry ON messages (expires) WHERE expires IS NOT NULL;
  DROP INDEX messages_by_holder;
  CREATE INDEX messages_by_holder ON messages (holder, channel, priority DESC, id);
  CREATE TABLE delayed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    message_id TEXT,
    content_type TEXT NOT NULL,
    reason TEXT,
    body BLOB NOT NULL,
    expires INTEGER,
    priority INTEGER NOT NULL
  );
  CREATE INDEX delayed_by_due ON delayed (due, id);
  CREATE INDEX delayed_by_channel ON delayed (channel);
  `,
  // Closed channels, and channels with a capacity.
  `
  ALTER TABLE channels ADD COLUMN is_closed INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE channels ADD COLUMN capacity INTEGER;
  ALTER TABLE channels ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE mail ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE putters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel INTEGER NOT NULL,
    session INTEGER NOT NULL,
    UNIQUE (channel, session)
  );
  CREATE INDEX putters_by_session ON putters (session);
  `,
  // Announcements: one row for all sessions that read it.
  `
  DROP TABLE mail;
  CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    UNIQUE (session, channel, kind)
  );
  CREATE INDEX mail_by_session ON mail (session, id);
  CREATE TABLE announcements (
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    session INTEGER NOT NULL,
    is_control INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    event BLOB,
    UNIQUE (channel, seq)
  );
  CREATE INDEX announcements_by_kind ON announcements (channel, is_control, seq);
  ALTER TABLE channels ADD COLUMN announced INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE channels ADD COLUMN announced_bytes INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE links ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX links_by_heard ON links (channel, heard);
  `,
  // The difference between the file's clock and the machine's.
  `
  CREATE TABLE clock (ahead INTEGER NOT NULL);
  INSERT INTO clock VALUES (0);
  `,
  // Expired messages on loan are not in the index of expired messages; the order of putters has an index.
  `
  CREATE INDEX putters_by_channel ON putters (channel, id);
  DROP INDEX messages_by_expiry;
  CREATE INDEX messages_by_expiry ON messages (expires) WHERE expires IS NOT NULL AND holder = 0;
  `,
  // The headers of messages: a JSON object of strings.
  `
  ALTER TABLE messages ADD COLUMN headers TEXT;
  ALTER TABLE delayed ADD COLUMN headers TEXT;
  `,
];

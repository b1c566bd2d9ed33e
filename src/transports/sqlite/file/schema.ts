/** Says in the file's header whose it is: "ChTS". */
export const applicationId = 0x43685453;

/**
 * What makes a file of version n + 1 of one of version n, as SQL. A version that has been released is
 * never changed: what is new comes as one more.
 *
 * Invariants of the tables:
 * - A message's `holder` is 0 while it waits; then the session that has it; minus that session where
 *   another has given it and the session need not know yet.
 * - `attempts` counts the tries that were begun, one that goes on included, from the moment in which
 *   that is known here.
 * - A channel's `depth` is the number of its messages that wait; while some do, no session is among
 *   its waiters.
 * - `expires` is set while a channel with a lease has no link.
 * - A session's rows go when it ends; where it was killed, another finds out and removes them.
 * - Times are milliseconds since 1970, by the file's own clock, which is `ahead` of the machine's. What is due, or has expired, is dealt with as a transaction begins;
 *   until then it is in `delayed`, or among the messages that wait.
 * - A channel with a `capacity` counts in `size` its messages, those on loan too; in one without, it is 0.
 *   Who found it full is among its putters, until there is room or it is told of some.
 * - A closed channel takes no message any more; what it has is got as ever.
 * - Mail of kind 0 says that something was announced; kind 1 has the link look again. A session has one letter
 *   of a kind for a channel at most.
 * - An announcement is there while a session on its channel has not heard it, unless it was one of too many. A
 *   channel's `announced` is the number of its last one; `heard` in `links` is the last that the session has heard.
 *   `bytes` counts all of a channel's, up to this one. One without an event says that the channel is gone; the links
 *   of who has not heard it outlast the channel.
 * - A message whose channel is no longer there is in nobody's way; `trash` says whose are still to go.
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
  // Channels that are closed, and channels with a capacity.
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
  // Announcements, each once for all who hear it.
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
  // How far the file's time is ahead of the machine's.
  `
  CREATE TABLE clock (ahead INTEGER NOT NULL);
  INSERT INTO clock VALUES (0);
  `,
  // What is on loan and has expired is in the way of nobody who looks for what waits and has; putters in their order.
  `
  CREATE INDEX putters_by_channel ON putters (channel, id);
  DROP INDEX messages_by_expiry;
  CREATE INDEX messages_by_expiry ON messages (expires) WHERE expires IS NOT NULL AND holder = 0;
  `,
];

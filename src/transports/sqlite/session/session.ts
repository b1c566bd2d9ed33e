import { realpathSync, rmSync, statSync } from "node:fs";
import process from "node:process";
import { KeepAlive } from "../../../shared/keep_alive.ts";
import { longestTimer, unref } from "../../../shared/timers.ts";
import { Bell, Ringer } from "./wakeup_file.ts";
import type { Correction } from "../file/clock.ts";
import { type DatabaseOptions, loadSqlite, openDatabase, type Sqlite } from "../file/database.ts";
import { isBusy } from "../failure.ts";
import type { SqliteLink } from "../link/link.ts";
import { lookAgain } from "../file/mailbox.ts";
import { isPresent, lastAnswer, Presence, removeAbandoned } from "./liveness_lock.ts";
import { type Peer, type Row, Store } from "../file/store.ts";
import { fileOf, isToken, newToken } from "../file/token.ts";
import { Writer } from "../file/writer.ts";

/** Milliseconds from one round to the next: who was killed is found within two. */
const round = 500;
/** The same where the system does not tell of bells: until a message is noticed. */
const deafRound = 20;
/** Milliseconds for which the end of the process waits for a locked file. */
const exitTime = 200;
/** Milliseconds in which a session answers whose lock was found free, and that was rung for. */
const doubt = 400;
/** How many others are found alive in a round; where there are more, each is looked for by several. */
const mostProbed = 8;
/** Milliseconds from one look to the next after a bell: on a busy machine the next bell may be late. */
const pauses = [2, 6, 12, 30];

/**
 * What a process has of a file, from its first link until a while after its last: a row in the file that
 * says who has what; a lock that shows that it lives; a bell.
 *
 * Invariants: the lock is held from before the row is there until it has nothing any more. What others have written
 * for this session is seen after their bell, and at the latest in the next round.
 */
export class Session {
  readonly path: string;
  readonly store: Store;
  readonly writer: Writer;
  readonly #sqlite: Sqlite;
  readonly #presence: Presence;
  readonly #bell: Bell;
  readonly #ringer = new Ringer();
  readonly #token = newToken();
  /** Those of others. */
  readonly #tokens = new Map<number, string>();
  readonly #links = new Map<number, SqliteLink>();
  /** Sessions whose lock was found free, and that are given time to answer; each ends the wait. */
  readonly #doubted = new Map<number, () => void>();
  /** The messages that others have given, and that the file still shows as such. */
  readonly #collected = new Set<number>();
  /** The numbers of the last announcements that were heard, by channel, as long as the file does not know. */
  readonly #progress = new Map<number, number>();
  /** Links that have received something within a transaction. */
  readonly #receivers = new Set<SqliteLink>();
  /** How many links are among their channel's waiters. */
  #waiting = 0;
  #id = 0;
  #lastLetter = 0;
  #lastProbed = 0;
  #rounds: ReturnType<typeof setInterval> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  /** Rings when a delayed message is due. */
  #alarm: ReturnType<typeof setTimeout> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  /** How many pauses there were since the last bell. */
  #paused = 0;
  #holds = 0;
  readonly #keepAlive = new KeepAlive();
  #isOver = false;
  #isLost = false;
  /** Which file it is, whatever its name. */
  readonly #identity: string | undefined;

  /** Opens the file, and cleans up after sessions that were killed. */
  static async open(options: DatabaseOptions, patience: number): Promise<Session> {
    const sqlite = await loadSqlite();
    const store = new Store(await openDatabase(sqlite, options, patience));
    let session: Session | undefined;
    try {
      // All must look for the locks and bells of others under the same names.
      session = new Session(realpathSync(options.path), sqlite, store);
      await session.#enter(patience);
      return session;
    } catch (error) {
      if (session === undefined) store.close();
      else session.#end();
      throw error;
    }
  }

  private constructor(path: string, sqlite: Sqlite, store: Store) {
    this.path = path;
    this.#identity = identityOf(path);
    this.#sqlite = sqlite;
    this.store = store;
    this.writer = new Writer(store, {
      begun: () => {
        if (this.#waiting === 0) return;
        for (const link of this.collect()) this.#receivers.add(link);
      },
      committed: (woken) => {
        if (store.delayed.hasGrown) this.#setAlarm();
        this.#wake(woken);
      },
      done: () => {
        const receivers = [...this.#receivers];
        this.#receivers.clear();
        for (const link of receivers) link.received();
      },
    });
    this.#presence = new Presence(sqlite, fileOf(this.path, this.#token, "lock"));
    try {
      this.#bell = new Bell(fileOf(this.path, this.#token, "bell"), () => this.#heard());
    } catch (error) {
      this.#presence.end();
      throw error;
    }
  }

  async #enter(patience: number): Promise<void> {
    this.#id = await this.writer.do(patience, () => {
      this.store.clock.start();
      return this.store.enter(this.#token);
    });
    this.#lastProbed = this.#id; // so that each begins with others
    const suspects = this.store.peers().filter((peer) => !this.#isAlive(peer));
    await Promise.all(suspects.map((peer) => this.#doubt(peer)));
    if (this.store.isUntidy()) await this.#sweep();
    this.#setAlarm();
    this.#tidyFiles();
    this.#rounds = setInterval(() => this.#round(), this.#bell.isDeaf ? deafRound : round);
    unref(this.#rounds);
    process.setMaxListeners(process.getMaxListeners() + 1); // many files are no leak
    process.on("exit", this.#leaveNow);
  }

  attach(link: SqliteLink): void {
    this.#links.set(link.channel, link);
    this.hear(link); // a letter may have come that found no link
  }

  detach(link: SqliteLink): void {
    if (this.#links.get(link.channel) === link) this.#links.delete(link.channel);
  }

  /** Whether someone has removed the file, and its channels with it. */
  get isLost(): boolean {
    return this.#isLost;
  }

  get isIdle(): boolean {
    return this.#links.size === 0;
  }

  /** Keeps the process alive while the sum of all `by` is positive. */
  hold(by: 1 | -1): void {
    this.#holds += by;
    this.#keepAlive.set(this.#holds > 0);
  }

  /** A link has joined its channel's waiters, or left them. */
  wait(by: 1 | -1): void {
    this.#waiting += by;
  }

  /** Has links receive what others have given this session. */
  collect(): Set<SqliteLink> {
    const links = new Set<SqliteLink>();
    for (const row of this.given()) {
      const link = this.#links.get(row.channel);
      if (link === undefined) continue; // a round will give it back
      this.note(row);
      link.receive(row);
      links.add(link);
    }
    return links;
  }

  /**
   * What has been given to this session, and no link has received.
   *
   * @param back what links had received and have given back in this transaction
   */
  given(back: ReadonlySet<number> = new Set()): Row[] {
    return this.store.given().filter(({ id }) => !this.#collected.has(id) || back.has(id));
  }

  /** A link receives this. */
  note({ id }: Row): void {
    this.#collected.add(id);
  }

  /** The file no longer shows these as given and not collected. */
  forget(loans: Iterable<{ readonly id: number }>): void {
    for (const { id } of loans) this.#collected.delete(id);
  }

  /** Sees what others have written for this session; false where the file is locked. */
  look(): boolean {
    if (this.#isOver) return true;
    try {
      for (const link of this.collect()) link.received();
      const letters = this.store.mailbox.read(this.#lastLetter);
      for (const { id, channel, kind } of letters) {
        const link = this.#links.get(channel);
        if (link === undefined) this.#progress.set(channel, 0);
        else if (kind === lookAgain) link.changed();
        else this.#hear(link);
        this.#lastLetter = id;
      }
      if (letters.length > 0) this.#discard();
      return true;
    } catch (error) {
      this.#note(error);
      return !isBusy(error);
    }
  }

  /** Has a link hear what was announced. */
  hear(link: SqliteLink): void {
    try {
      this.#hear(link);
      if (this.#progress.size > 0) this.#discard();
    } catch (error) {
      this.#note(error); // the next letter will
    }
  }

  #hear(link: SqliteLink): void {
    const last = link.hear();
    if (last !== undefined) this.#progress.set(link.channel, last);
  }

  /** Says in the file what was read and heard. */
  #discard(): void {
    const heard = [...this.#progress];
    this.writer.do(round, () => {
      this.store.mailbox.discard(this.#lastLetter);
      for (const [channel, last] of heard) {
        const isLinked = this.#links.has(channel);
        if (isLinked) this.store.announcements.hear(channel, last);
        else if (this.store.state(channel) === undefined) this.store.detach(channel);
      }
    }, () => {
      for (const [channel, last] of heard) {
        if (this.#progress.get(channel) === last) this.#progress.delete(channel);
      }
    }).catch((error) => this.#note(error)); // the next round will
  }

  /** Has an error told by what is done next, unless it is a matter of moments. */
  #note(error: unknown): void {
    if (!isBusy(error)) this.writer.trouble = error;
  }

  /**
   * Takes this session out of the file. Its row goes last: where this is cut short, others find it
   * without a lock, and tidy up.
   */
  async leave(): Promise<void> {
    await this.writer.do(1000, () => this.store.giveUp(this.#id)).catch(() => {}); // others will
    this.#stop();
    await this.writer.do(1000, () => this.store.leave(this.#id)).catch(() => {});
    this.#end();
  }

  /** The process ends: nothing but this is run any more. */
  readonly #leaveNow = (): void => {
    for (const link of this.#links.values()) link.resume();
    const deadline = performance.now() + exitTime;
    this.#writeBy(deadline, () => this.store.giveUp(this.#id));
    this.#stop();
    this.#writeBy(deadline, () => this.store.leave(this.#id));
    this.#end();
  };

  #writeBy(deadline: number, write: () => void): void {
    this.writer.do(exitTime, write).catch(() => {});
    while (!this.writer.flush() && performance.now() < deadline);
  }

  #end(): void {
    this.#stop();
    this.#ringer.end();
    this.store.close();
  }

  /** From here on it counts as dead. */
  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#rounds !== undefined) {
      process.setMaxListeners(process.getMaxListeners() - 1);
      process.off("exit", this.#leaveNow);
    }
    clearInterval(this.#rounds);
    this.#keepAlive.set(false);
    clearTimeout(this.#soon);
    clearTimeout(this.#again);
    clearTimeout(this.#alarm);
    for (const end of this.#doubted.values()) end();
    this.#presence.end();
    this.#bell.end();
  }

  #wake(sessions: ReadonlySet<number>): void {
    for (const id of sessions) {
      if (id === this.#id) this.#lookSoon(0);
      else this.#ring(id);
    }
  }

  #ring(id: number): void {
    try {
      const token = this.#tokens.get(id) ?? this.store.tokenOf(id);
      if (!isToken(token)) return;
      this.#tokens.set(id, token);
      this.#ringer.ring(fileOf(this.path, token, "bell"));
    } catch (error) {
      this.#note(error); // its next round will do
    }
  }

  /** Who has left, or was taken out by others, is rung for no more. */
  #forgetAllBut(peers: readonly Peer[]): void {
    const present = new Set(peers.map(({ id }) => id));
    for (const [id, token] of this.#tokens) {
      if (present.has(id)) continue;
      this.#tokens.delete(id);
      this.#ringer.forget(fileOf(this.path, token, "bell"));
    }
  }

  #heard(): void {
    this.#renew(true);
    this.look();
    this.#paused = 0;
    this.#lookAgain();
  }

  #lookAgain(): void {
    if (this.#again !== undefined || this.#paused === pauses.length) return;
    this.#again = setTimeout(() => {
      this.#again = undefined;
      this.look();
      this.#lookAgain();
    }, pauses[this.#paused++]);
    unref(this.#again);
  }

  #lookSoon(ms: number): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      if (!this.look()) this.#lookSoon(1);
    }, ms);
  }

  /** Takes the lock anew, should this process have lost it. */
  #renew(isAsked: boolean): void {
    try {
      this.#presence.renew(isAsked);
    } catch (error) {
      this.#note(error); // the next round will
    }
  }

  #round(): void {
    this.#bell.unref();
    this.#renew(this.#bell.isDeaf);
    try {
      if (identityOf(this.path) !== this.#identity || !this.store.isEntered) return this.#lose();
      this.#checkClock();
      this.look();
      if (this.#progress.size > 0) this.#discard();
      this.#setAlarm();
      for (const link of this.#links.values()) link.resume();
      const peers = this.store.peers();
      this.#forgetAllBut(peers);
      const isNext = ({ id }: Peer) => id > this.#lastProbed;
      const inTurn = [...peers.filter(isNext), ...peers.filter((peer) => !isNext(peer))];
      let alive = 0;
      for (const peer of inTurn) {
        if (alive === mostProbed) break;
        this.#lastProbed = peer.id;
        if (this.#isAlive(peer)) alive++;
        else this.#doubt(peer, unref).catch((error) => this.#note(error));
      }
      if (this.store.isUntidy()) this.#sweep();
      this.#returnStrays();
    } catch (error) {
      this.#note(error);
    }
  }

  /** Has the file's time go on evenly when the machine's clock was set. */
  #checkClock(): void {
    const { clock } = this.store;
    if (!clock.isWrong) return;
    let correction: Correction;
    this.writer.do(round, () => {
      correction = clock.correct();
    }, () => {
      clock.corrected(correction);
      this.#setAlarm();
    }).catch((error) => this.#note(error)); // the next round will
  }

  /** The file is another one, or others believe this session to be dead, as its lock was removed. */
  #lose(): void {
    this.#isLost = true;
    for (const link of [...this.#links.values()]) link.vanish();
  }

  /** Is there when the next delayed message is due, whoever has put it, for it may be waited for. */
  #setAlarm(): void {
    clearTimeout(this.#alarm);
    if (this.#isOver) return;
    try {
      const due = this.store.delayed.nextDue();
      if (due === undefined) return;
      const wait = Math.min(Math.max(due - this.store.clock.now(), 1), longestTimer);
      this.#alarm = setTimeout(() => this.#ripen(due), wait);
      unref(this.#alarm); // who waits keeps the process alive
    } catch (error) {
      this.#note(error); // the next round will
    }
  }

  async #ripen(due: number): Promise<void> {
    // Every transaction begins with what is due; another session may have been faster.
    const isDue = () =>
      due <= this.store.clock.now() && (this.store.delayed.nextDue() ?? Infinity) <= due;
    try {
      if (isDue()) await this.writer.do(round, () => {});
      this.#setAlarm();
    } catch (error) {
      this.#note(error); // the next round will
    }
  }

  #isAlive({ token }: Peer): boolean {
    return isToken(token) && isPresent(this.#sqlite, fileOf(this.path, token, "lock"));
  }

  /**
   * Takes a session out of the file whose lock is free, unless it answers: it may live, and have lost its
   * lock.
   *
   * @param free lets the process exit meanwhile
   */
  async #doubt(peer: Peer, free?: (timer: ReturnType<typeof setTimeout>) => void): Promise<void> {
    const { id } = peer;
    if (this.#doubted.has(id)) return;
    const before = this.#lastAnswer(peer);
    if (before !== undefined) {
      this.#ring(id);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, doubt);
        this.#doubted.set(id, () => {
          clearTimeout(timer);
          resolve();
        });
        free?.(timer);
      });
      this.#doubted.delete(id);
      if (this.#isOver || this.#lastAnswer(peer) !== before || this.#isAlive(peer)) return;
    }
    await this.#bury(peer);
  }

  #lastAnswer({ token }: Peer): number | undefined {
    return isToken(token) ? lastAnswer(fileOf(this.path, token, "lock")) : undefined;
  }

  /** Takes a session that was killed out of the file. */
  async #bury({ id, token }: Peer): Promise<void> {
    await this.writer.do(round, () => {
      this.store.giveUp(id);
      this.store.leave(id);
    }).catch(() => {});
    if (!isToken(token)) return;
    for (const kind of ["lock", "bell"] as const) {
      try {
        rmSync(fileOf(this.path, token, kind), { force: true });
      } catch {
        // another user's, or another process was faster
      }
    }
  }

  #tidyFiles(): void {
    try {
      const tokens = this.store.peers().map(({ token }) => token);
      removeAbandoned(this.#sqlite, this.path, this.#token, new Set(tokens));
    } catch {
      // another process was faster, or the files are another user's
    }
  }

  /** Gives back what belongs to links that could not be closed in order, as the file was locked. */
  #returnStrays(): void {
    const strays = () => this.store.held().filter((channel) => !this.#links.has(channel));
    if (strays().length === 0) return;
    this.writer.do(round, () => {
      for (const channel of strays()) this.store.releaseAll(channel);
    }).catch(() => {});
  }

  async #sweep(): Promise<void> {
    const isMore = await this.writer.do(round, () => this.store.sweep())
      .catch(() => false);
    if (isMore && !this.#isOver) await this.#sweep();
  }
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && `${found.dev} ${found.ino}`;
}

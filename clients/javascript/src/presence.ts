// Who is there: keeps the state of a channel's presence from `presence_state` and `presence_diff`. Calls Channel only.
// A Map, since the keys come from others and "__proto__" may be one.

import type { Channel } from "./channel.js";

/** One connection of a key; `phx_ref` tells it from the key's others. */
export type Meta = { phx_ref: string; [name: string]: any };
export type Entry = { metas: Meta[]; [name: string]: any };
export type State = Map<string, Entry>;
export type Diff = { joins: Record<string, Entry>; leaves: Record<string, Entry> };
/** `before` is what was known of the key, `change` has only the metas that came or went. */
export type Changed = (key: string, before: Entry | undefined, change: Entry) => void;

export interface PresenceOptions {
  /** Names of the two events, where a server uses others. */
  events?: { state: string; diff: string };
}

export class Presence {
  state: State = new Map();
  #joined: Changed | undefined;
  #left: Changed | undefined;
  #synced: (() => void) | undefined;
  // Diffs that came before the state of this join.
  #early: Diff[] = [];
  #join: string | null = null;

  constructor(channel: Channel, { events = { state: "presence_state", diff: "presence_diff" } }: PresenceOptions = {}) {
    channel.on(events.state, (state: Record<string, Entry>) => {
      this.#join = channel.joinRef;
      this.state = Presence.syncState(this.state, state, this.#joined, this.#left);
      for (const diff of this.#early.splice(0)) this.state = Presence.syncDiff(this.state, diff, this.#joined, this.#left);
      this.#synced?.();
    });
    channel.on(events.diff, (diff: Diff) => {
      // A stream of events has no join: there each diff counts.
      if (channel.joinRef !== this.#join) {
        this.#early.push(diff);
        return;
      }
      this.state = Presence.syncDiff(this.state, diff, this.#joined, this.#left);
      this.#synced?.();
    });
  }

  onJoin(callback: Changed): void {
    this.#joined = callback;
  }

  onLeave(callback: Changed): void {
    this.#left = callback;
  }

  onSync(callback: () => void): void {
    this.#synced = callback;
  }

  /** What `by` makes of each key and its metas; `{key, metas}` without it. */
  list(): (Entry & { key: string })[];
  list<T>(by: (key: string, entry: Entry) => T): T[];
  list(by: (key: string, entry: Entry) => unknown = (key, entry) => ({ key, ...entry })): unknown[] {
    return [...this.state].map(([key, entry]) => by(key, entry));
  }

  /** The state that the server sent; `onJoin` and `onLeave` see what differs from `state`. */
  static syncState(state: State, now: Record<string, Entry>, onJoin?: Changed, onLeave?: Changed): State {
    const next = new Map(Object.entries(now));
    const joins: [string, Entry][] = [];
    const leaves: [string, Entry][] = [];
    for (const [key, entry] of state) {
      const gone = without(entry, next.get(key));
      if (gone.metas.length) leaves.push([key, gone]);
    }
    for (const [key, entry] of next) {
      const come = without(entry, state.get(key));
      if (come.metas.length) joins.push([key, come]);
    }
    return change(state, joins, leaves, onJoin, onLeave);
  }

  /** `state` after a `presence_diff`. */
  static syncDiff(state: State, { joins, leaves }: Diff, onJoin?: Changed, onLeave?: Changed): State {
    return change(state, Object.entries(joins), Object.entries(leaves), onJoin, onLeave);
  }
}

function change(state: State, joins: [string, Entry][], leaves: [string, Entry][], onJoin?: Changed, onLeave?: Changed): State {
  const next = new Map(state);
  for (const [key, come] of joins) {
    const before = next.get(key);
    const stay = before ? without(before, come).metas : [];
    next.set(key, { ...come, metas: [...stay, ...come.metas] });
    onJoin?.(key, before, come);
  }
  for (const [key, gone] of leaves) {
    const before = next.get(key);
    if (!before) continue;
    const rest = without(before, gone);
    if (rest.metas.length) next.set(key, rest);
    else next.delete(key);
    onLeave?.(key, rest, gone);
  }
  return next;
}

/** `entry` with the metas that `other` does not have. */
function without(entry: Entry, other: Entry | undefined): Entry {
  const refs = new Set(other?.metas.map((meta) => meta.phx_ref));
  return { ...entry, metas: entry.metas.filter((meta) => !refs.has(meta.phx_ref)) };
}

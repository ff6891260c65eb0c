// One topic of a Socket: joined, left, joined again after each break, from the last id that was seen.
//
//   closed -> joining -> joined -> leaving -> closed
//               |  ^       |
//               v  |       v
//              errored <----       (a refused join, hb_error, a lost connection; joined again by the back-off)
//
// Made and fed by Socket (receive, opened, lost); sends by Socket.send. Pushes wait in `#buffer` until the topic is joined.

import { Backoff } from "./backoff.js";
import type { Message } from "./codec.js";
import { EventFeed } from "./events.js";
import { call, Push } from "./push.js";
import type { Socket } from "./socket.js";

export type ChannelState = "closed" | "joining" | "joined" | "leaving" | "errored";

/** What `onMissed` is told: more may have been missed since `last_id` than the server has kept. */
export interface Missed {
  last_id: string;
}

interface Answer {
  status: string;
  response: unknown;
}

interface Buffered {
  push: Push;
  event: string;
  payload: unknown;
}

export class Channel {
  state: ChannelState = "closed";
  /** Of the present join; null over server-sent events. */
  joinRef: string | null = null;
  /** The last message's id, on a topic with history. Set it before `join` to go on from an earlier page's. */
  lastId: string | null = null;

  #bindings: { id: number; event: string; callback: (payload: any) => void }[] = [];
  #bound = 0;
  #join: Push | undefined;
  #pending = new Map<string, Push>();
  #buffer: Buffered[] = [];
  #rejoin: Backoff;
  #feed: EventFeed | undefined;

  /** @internal */
  constructor(
    readonly topic: string,
    readonly params: object | (() => object),
    readonly socket: Socket,
  ) {
    this.#rejoin = new Backoff(socket.options.backoff, () => this.#enter());
  }

  /** Joins the topic, and again after each break until `leave`. What `receive` is given is called for each of these joins. */
  join(): Push {
    if (this.state !== "closed") throw new Error(`channel ${this.topic} is ${this.state}: it is joined once, until leave()`);
    this.#join = new Push();
    this.state = "errored";
    this.socket.add(this);
    this.#join.wait(this.socket.options.timeout, () => this.#unanswered());
    if (this.socket.isConnected() || this.socket.readOnly) this.#enter();
    return this.#join;
  }

  /** Leaves the topic for good; `onClose` is called when the server has let go, or at once when there is no connection. */
  leave(): Push {
    const push = new Push();
    const joined = this.state === "joined" || this.state === "joining";
    this.#join?.stop();
    this.#rejoin.cancel();
    if (!joined || !this.socket.isConnected()) {
      this.closed("leave");
      push.settle("ok", {});
      return push;
    }
    this.state = "leaving";
    const done = () => this.closed("leave");
    this.#send(push, this.socket.control("leave"), {});
    return push.receive("ok", done).receive("error", done).receive("timeout", done);
  }

  /** Sends an event. Waits until the topic is joined; `timeout` counts from now. */
  push(event: string, payload: unknown = {}, timeout = this.socket.options.timeout): Push {
    const push = new Push();
    if (this.socket.readOnly) push.settle("error", { reason: "read-only" });
    else if (this.state === "closed" || this.state === "leaving") push.settle("error", { reason: "not joined" });
    else if (this.state === "joined") this.#send(push, event, payload, timeout);
    else if (this.#buffer.length >= this.socket.options.maxBuffered) push.settle("error", { reason: "buffer full" });
    else {
      const waiting = { push, event, payload };
      push.wait(timeout, () => {
        this.#buffer = this.#buffer.filter((other) => other !== waiting);
        push.settle("timeout", {});
      });
      this.#buffer.push(waiting);
    }
    return push;
  }

  /** Calls `callback` with the payload of each such event. The number it gives is for `off`. */
  on(event: string, callback: (payload: any) => void): number {
    this.#bindings.push({ id: ++this.#bound, event, callback });
    this.#feed?.listen(event);
    return this.#bound;
  }

  /** Ends one callback of an event, or all of them. */
  off(event: string, id?: number): void {
    this.#bindings = this.#bindings.filter((bound) => bound.event !== event || (id !== undefined && bound.id !== id));
  }

  /** When the channel has ended: left, or closed by the server. */
  onClose(callback: (payload: any) => void): number {
    return this.on("hb_close", callback);
  }

  /** When it is broken off, and will be joined again. */
  onError(callback: (payload: any) => void): number {
    return this.on("hb_error", callback);
  }

  /** When more was missed during a break than the server had kept. */
  onMissed(callback: (missed: Missed) => void): number {
    return this.on("hb_missed", callback);
  }

  /** @internal There is a connection: join over it. */
  opened(): void {
    this.#unfollow();
    this.#rejoin.reset();
    this.#enter();
  }

  /** @internal There is none any more. What was sent may have been handled or not: it is not sent again. */
  lost(): void {
    this.#rejoin.cancel();
    this.#unfollow();
    if (this.state === "leaving") return this.closed("leave");
    const broken = this.state === "joined" || this.state === "joining";
    this.state = "errored";
    this.#forget("disconnected");
    if (broken) this.#trigger("hb_error", { reason: "disconnected" });
  }

  /** @internal A message of this topic. */
  receive({ joinRef, ref, event, payload }: Message): void {
    if (joinRef && joinRef !== this.joinRef) return; // of an earlier join
    if (ref?.startsWith("#")) this.lastId = ref.slice(1);
    const control = /^(?:hb|phx)_(reply|error|close)$/.exec(event)?.[1];
    if (control === "reply") this.#answered(ref, payload as Answer);
    else if (control === "close") this.closed(payload);
    else if (control === "error") this.#broken(payload);
    else if (event === "hb_position") return; // its ref is all there is to it
    else this.#trigger(event, payload);
  }

  /** @internal */
  closed(payload: unknown): void {
    this.state = "closed";
    this.#join?.stop();
    this.#rejoin.reset();
    this.#unfollow();
    this.socket.remove(this);
    this.#forget("closed");
    for (const { push } of this.#buffer.splice(0)) push.settle("error", { reason: "closed" });
    this.#trigger("hb_close", payload);
  }

  #enter(): void {
    if (this.socket.readOnly) return this.#follow();
    if (!this.socket.isConnected()) return;
    const params = typeof this.params === "function" ? this.params() : this.params;
    const resume = this.lastId === null ? {} : { hb_last_id: this.lastId };
    this.state = "joining";
    this.joinRef = this.socket.ref();
    this.#join!.wait(this.socket.options.timeout, () => this.#unanswered());
    this.#pending.set(this.joinRef, this.#join!);
    this.#transmit(this.joinRef, this.socket.control("join"), { ...params, ...resume });
  }

  /** Over server-sent events: what is sent to the topic, and nothing the other way. */
  #follow(): void {
    this.joinRef = null;
    this.#unfollow();
    this.#feed = new EventFeed(this.socket.eventsUrl(this.topic, this.lastId), this.socket.options.eventSource!, {
      opened: () => {
        this.state = "joined";
        this.#rejoin.reset();
        for (const { push } of this.#buffer.splice(0)) push.settle("error", { reason: "read-only" });
        this.#join!.settle("ok", { read_only: true });
      },
      event: (event, payload, id) => {
        if (id) this.lastId = id;
        this.#trigger(event, payload);
      },
      failed: () => this.#broken({ reason: "events" }),
    });
    for (const { event } of this.#bindings) this.#feed.listen(event);
  }

  #unfollow(): void {
    this.#feed?.close();
    this.#feed = undefined;
  }

  #answered(ref: string | null, { status, response }: Answer): void {
    const push = this.#pending.get(ref ?? "");
    this.#pending.delete(ref ?? "");
    if (push !== this.#join) return push?.settle(status, response);
    if (this.state !== "joining") return;
    this.state = status === "ok" ? "joined" : "errored";
    if (status === "ok") this.#rejoin.reset();
    else this.#rejoin.schedule();
    push!.settle(status, response);
    if (this.state !== "joined") return;
    for (const { push, event, payload } of this.#buffer.splice(0)) this.#send(push, event, payload);
  }

  #unanswered(): void {
    if (this.state === "joining") {
      this.state = "errored";
      this.#pending.delete(this.joinRef!);
      this.#rejoin.schedule();
    }
    this.#join!.settle("timeout", {});
  }

  #broken(payload: unknown): void {
    if (this.state === "leaving") return this.closed(payload);
    this.state = "errored";
    this.#forget("broken off");
    this.#rejoin.schedule();
    this.#trigger("hb_error", payload);
  }

  #send(push: Push, event: string, payload: unknown, timeout = this.socket.options.timeout): void {
    const ref = this.socket.ref();
    try {
      this.#transmit(ref, event, payload);
    } catch (error) {
      push.settle("error", { reason: String(error) }); // what is no JSON, or a name that is too long
      return;
    }
    this.#pending.set(ref, push);
    push.wait(timeout, () => {
      this.#pending.delete(ref);
      push.settle("timeout", {});
    });
  }

  #transmit(ref: string, event: string, payload: unknown): void {
    this.socket.send({ joinRef: this.joinRef, ref, topic: this.topic, event, payload });
  }

  /** No answer will come to what was sent. */
  #forget(reason: string): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const push of pending) if (push !== this.#join) push.settle("error", { reason });
  }

  #trigger(event: string, payload: unknown): void {
    for (const bound of [...this.#bindings]) if (bound.event === event) call(bound.callback, payload);
  }
}

// The connection that channels share: opened, kept alive by heartbeats, opened again by the back-off until `disconnect`.
//
//   closed -> connecting -> open -> closed        (disconnect)
//                 ^           |
//                 |           v
//                 +------- waiting                (lost or failed; the back-off's timer runs)
//
// Owns the transport, the heartbeat and the list of channels; feeds Channel, is called by it to send. A transport that was
// given up may still report: its handlers are taken off, so what it says is not heard.

import { Backoff, DELAYS } from "./backoff.js";
import { Channel } from "./channel.js";
import { decode, encode, type Message } from "./codec.js";
import { call } from "./push.js";
import { onWake, type EventSourceClass, type Transport, type TransportClass } from "./transport.js";

export type Params = Record<string, string | number | boolean>;
export type SocketState = "closed" | "connecting" | "open" | "waiting";

/** Why a connection ended: the close code of WebSocket (1006 without one), and its text. */
export interface Closed {
  code: number;
  reason: string;
}

export interface SocketOptions {
  /** Sent in the query of the address; a function is asked at each connect. */
  params?: Params | (() => Params);
  /** The class of WebSocket; that of the platform by default. */
  transport?: TransportClass;
  /** Which names the wire's own events have: "hornbeam" (`hb_join`) or "phoenix" (`phx_join`). */
  flavour?: "hornbeam" | "phoenix";
  /** Milliseconds between two heartbeats: 30,000. */
  heartbeat?: number;
  /** Milliseconds for an answer, a connect or a heartbeat: 10,000. */
  timeout?: number;
  /** Milliseconds before each attempt to connect or join again: 1,000, 2,000, 5,000, 10,000, a quarter more or less. */
  backoff?: readonly number[];
  /** Pushes that one channel keeps while it is not joined: 1,000. */
  maxBuffered?: number;
  /** "events": receive over server-sent events where no WebSocket can be opened. */
  fallback?: "events";
  /** Attempts that failed one after the other before that: 3. */
  fallbackAfter?: number;
  /** Milliseconds between two attempts to get back to WebSocket: 60,000. */
  fallbackRetry?: number;
  /** Where topics are served as events: "/events". */
  events?: string;
  /** The class of EventSource; that of the platform by default. */
  eventSource?: EventSourceClass;
}

type Settings = Required<Omit<SocketOptions, "transport" | "eventSource" | "fallback">> & SocketOptions;

export class Socket {
  state: SocketState = "closed";
  /** Whether channels receive over server-sent events, which cannot send. */
  readOnly = false;
  /** @internal */
  readonly options: Settings;

  #url: URL;
  #transport: Transport | undefined;
  #channels: Channel[] = [];
  #refs = 0;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #beat: string | null = null;
  #reconnect: Backoff;
  #unwatch: (() => void) | undefined;
  #hooks = { open: new Set<() => void>(), close: new Set<(why: Closed) => void>(), error: new Set<(error: unknown) => void>(), message: new Set<(message: Message) => void>() };

  /** `url`: of the channels, as "/socket" or "wss://host/socket"; `http` stands for `ws`. */
  constructor(url: string, options: SocketOptions = {}) {
    this.options = {
      params: {}, flavour: "hornbeam", heartbeat: 30000, timeout: 10000, backoff: DELAYS, maxBuffered: 1000,
      fallbackAfter: 3, fallbackRetry: 60000, events: "/events",
      transport: globalThis.WebSocket as unknown as TransportClass, eventSource: globalThis.EventSource, ...options,
    };
    if (!this.options.transport) throw new Error('there is no WebSocket here: give one, {transport: WebSocket} of the package "ws"');
    if (options.fallback && !this.options.eventSource) throw new Error("there is no EventSource here: give one, {eventSource: ...}");
    this.#url = new URL(url, globalThis.location?.href);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#url.pathname = this.#url.pathname.replace(/\/*$/, "/websocket");
    this.#reconnect = new Backoff(this.options.backoff, () => this.#open());
  }

  /** Connects, and again whenever the connection is lost. Does nothing when that is so already. */
  connect(): void {
    if (this.state !== "closed") return;
    this.#unwatch = onWake(() => this.#woken());
    this.#open();
  }

  /** Ends the connection and all attempts. Channels stay, and are joined again by the next `connect`. */
  disconnect(code = 1000, reason = ""): void {
    if (this.state === "closed") return;
    this.#unwatch?.();
    this.#reconnect.reset();
    this.#release(code, reason);
    this.state = "closed";
    this.readOnly = false;
    this.#failures = 0;
    for (const channel of [...this.#channels]) channel.lost();
    this.#emit("close", { code, reason });
  }

  isConnected(): boolean {
    return this.state === "open";
  }

  /** A channel of `topic`; nothing is sent before its `join`. A function gives the parameters of each join. */
  channel(topic: string, params: object | (() => object) = {}): Channel {
    return new Channel(topic, params, this);
  }

  /** Each of these gives a function that ends it. */
  onOpen(callback: () => void): () => void {
    return this.#hook("open", callback);
  }

  onClose(callback: (why: Closed) => void): () => void {
    return this.#hook("close", callback);
  }

  onError(callback: (error: unknown) => void): () => void {
    return this.#hook("error", callback);
  }

  /** Every message that arrives, before the channels see it. */
  onMessage(callback: (message: Message) => void): () => void {
    return this.#hook("message", callback);
  }

  /** @internal */
  ref(): string {
    return String(++this.#refs);
  }

  /** @internal */
  control(event: string): string {
    return (this.options.flavour === "phoenix" ? "phx_" : "hb_") + event;
  }

  /** @internal */
  send(message: Message): void {
    this.#transport?.send(encode(message));
  }

  /** @internal */
  add(channel: Channel): void {
    this.#channels.push(channel);
  }

  /** @internal */
  remove(channel: Channel): void {
    this.#channels = this.#channels.filter((other) => other !== channel);
  }

  /** @internal */
  eventsUrl(topic: string, lastId: string | null): string {
    const url = new URL(`${this.options.events}/${encodeURIComponent(topic)}`, this.#url);
    url.protocol = url.protocol.replace("ws", "http");
    this.#query(url, lastId === null ? {} : { last_event_id: lastId });
    return url.href;
  }

  #query(url: URL, more: Params): void {
    const { params } = this.options;
    const given = typeof params === "function" ? params() : params;
    for (const [name, value] of Object.entries({ ...given, ...more })) url.searchParams.set(name, String(value));
  }

  #open(): void {
    this.#reconnect.cancel();
    const url = new URL(this.#url);
    this.state = "connecting";
    let transport: Transport;
    try {
      this.#query(url, { vsn: "2.0.0" });
      transport = new this.options.transport!(url.href);
    } catch (error) {
      this.#emit("error", error);
      this.#lost({ code: 1006, reason: String(error) });
      return;
    }
    this.#transport = transport;
    transport.binaryType = "arraybuffer";
    transport.onopen = () => this.#opened();
    transport.onmessage = ({ data }) => this.#receive(data);
    transport.onerror = (error) => this.#emit("error", error);
    transport.onclose = ({ code, reason }) => this.#lost({ code, reason });
    this.#timer = setTimeout(() => this.#lost({ code: 1006, reason: "connect timeout" }), this.options.timeout);
  }

  #opened(): void {
    this.state = "open";
    this.readOnly = false;
    this.#failures = 0;
    this.#reconnect.reset();
    this.#rest();
    this.#emit("open", undefined);
    for (const channel of [...this.#channels]) channel.opened();
  }

  #lost(why: Closed): void {
    const opened = this.state === "open";
    this.#release(1000, why.reason);
    this.state = "waiting";
    const { fallback, fallbackAfter, fallbackRetry } = this.options;
    if (!opened && ++this.#failures >= fallbackAfter && fallback && !this.readOnly) {
      this.readOnly = true;
      for (const channel of [...this.#channels]) channel.opened();
    }
    this.#reconnect.schedule(this.readOnly ? fallbackRetry : undefined);
    if (opened) for (const channel of [...this.#channels]) channel.lost();
    this.#emit("close", why);
  }

  /** The transport's end may come late or never, where the network is gone: it is not waited for. */
  #release(code: number, reason: string): void {
    clearTimeout(this.#timer);
    const transport = this.#transport;
    this.#transport = undefined;
    if (!transport) return;
    transport.onopen = transport.onmessage = transport.onclose = null;
    transport.onerror = () => {}; // `ws` throws what nobody hears
    transport.close(code, reason);
  }

  #receive(data: string | ArrayBuffer): void {
    let message: Message;
    try {
      message = decode(data);
    } catch (error) {
      this.#emit("error", error);
      return;
    }
    this.#emit("message", message);
    if (message.ref !== null && message.ref === this.#beat) this.#rest();
    for (const channel of [...this.#channels]) if (channel.topic === message.topic) channel.receive(message);
  }

  /** No heartbeat is under way; the next one in a while. */
  #rest(): void {
    this.#beat = null;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#heartbeat(), this.options.heartbeat);
  }

  #heartbeat(): void {
    clearTimeout(this.#timer);
    this.#beat = this.ref();
    this.#timer = setTimeout(() => this.#lost({ code: 1006, reason: "heartbeat timeout" }), this.options.timeout);
    this.send({ joinRef: null, ref: this.#beat, topic: this.options.flavour, event: "heartbeat", payload: {} });
  }

  /** Whether the connection outlived the sleep is asked, not believed; a wait is over. */
  #woken(): void {
    if (this.state === "open" && this.#beat === null) this.#heartbeat();
    else if (this.#reconnect.waiting) this.#reconnect.now();
  }

  #hook(name: "open" | "close" | "error" | "message", callback: any): () => void {
    const callbacks = this.#hooks[name] as Set<any>;
    callbacks.add(callback);
    return () => void callbacks.delete(callback);
  }

  #emit(name: "open" | "close" | "error" | "message", value: any): void {
    for (const callback of [...this.#hooks[name]]) call<any>(callback, value);
  }
}

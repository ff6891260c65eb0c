// Stand-ins for WebSocket and EventSource that a test speaks through, and the answers of a server.
import { mock } from "node:test";

export class FakeTransport {
  static made = [];

  constructor(url) {
    this.url = url;
    this.sent = [];
    this.closed = null;
    FakeTransport.made.push(this);
  }

  send(data) {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : data);
  }

  close(code, reason) {
    this.closed = { code, reason };
  }

  open() {
    this.onopen({});
  }

  drop(code = 1006, reason = "") {
    this.onclose({ code, reason });
  }

  receive(joinRef, ref, topic, event, payload) {
    this.onmessage({ data: JSON.stringify([joinRef, ref, topic, event, payload]) });
  }

  bytes(...bytes) {
    this.onmessage({ data: new Uint8Array(bytes).buffer });
  }

  /** Answers the last message. */
  reply(status = "ok", response = {}) {
    const [joinRef, ref, topic] = this.last();
    this.receive(joinRef, ref, topic, "hb_reply", { status, response });
  }

  last() {
    return this.sent.at(-1);
  }

  static get current() {
    return FakeTransport.made.at(-1);
  }
}

export class FakeEventSource {
  static made = [];

  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.listeners = {};
    FakeEventSource.made.push(this);
  }

  addEventListener(event, listener) {
    this.listeners[event] = listener;
  }

  open() {
    this.readyState = 1;
    this.onopen({});
  }

  fail() {
    this.readyState = 2;
    this.onerror({});
  }

  emit(event, data, lastEventId = "") {
    this.listeners[event]?.({ data: JSON.stringify(data), lastEventId });
  }

  close() {
    this.readyState = 2;
  }

  static get current() {
    return FakeEventSource.made.at(-1);
  }
}

/** Timers that a test moves, no jitter, and no stand-in of the test before. */
export function begin() {
  FakeTransport.made = [];
  FakeEventSource.made = [];
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(Math, "random", () => 0.5);
}

export function end() {
  mock.timers.reset();
  mock.restoreAll();
}

export const pass = (milliseconds) => mock.timers.tick(milliseconds);

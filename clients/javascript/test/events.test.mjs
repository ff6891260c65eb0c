// Falling back to server-sent events, and back.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Socket } from "../dist/hornbeam.js";
import { begin, end, FakeEventSource, FakeTransport, pass } from "./fakes.mjs";

beforeEach(begin);
afterEach(end);

const feed = () => FakeEventSource.current;

/** A channel whose socket could not connect three times. */
function fallen() {
  const socket = new Socket("ws://127.0.0.1:8000/socket", {
    transport: FakeTransport, eventSource: FakeEventSource, fallback: "events", params: { token: "t" },
  });
  const channel = socket.channel("room:1");
  const heard = [];
  channel.on("msg", (payload) => heard.push(payload));
  channel.onMissed((missed) => heard.push(missed));
  const join = channel.join().receive("ok", (response) => heard.push(response));
  const waiting = channel.push("say").receive("error", (response) => heard.push(response));
  socket.connect();
  for (const delay of [1000, 2000]) {
    FakeTransport.current.drop();
    assert.equal(socket.readOnly, false);
    pass(delay);
  }
  FakeTransport.current.drop();
  return { socket, channel, heard, join, waiting };
}

test("after three attempts a channel receives over EventSource, and cannot send", () => {
  const { socket, channel, heard } = fallen();
  assert.equal(socket.readOnly, true);
  assert.equal(feed().url, "http://127.0.0.1:8000/events/room%3A1?token=t");
  feed().open();
  feed().emit("msg", { n: 1 }, "M-1");
  channel.on("later", (payload) => heard.push(payload));
  feed().emit("later", 2, "M-2");
  feed().listeners.later({ data: "AP8=", lastEventId: "" });
  feed().emit("hb_missed", { last_id: "M-0" });
  assert.deepEqual(heard, [{ reason: "read-only" }, { read_only: true }, { n: 1 }, 2, { last_id: "M-0" }]);
  assert.equal(channel.lastId, "M-2");
  const refused = [];
  channel.push("say").receive("error", (response) => refused.push(response));
  assert.deepEqual(refused, [{ reason: "read-only" }]);
});

test("a stream that the server refuses is tried again by the back-off, from the last id", () => {
  const { channel } = fallen();
  feed().open();
  feed().emit("msg", {}, "M-7");
  const errors = [];
  channel.onError((error) => errors.push(error));
  feed().fail();
  assert.deepEqual(errors, [{ reason: "events" }]);
  pass(1000);
  assert.equal(FakeEventSource.made.length, 2);
  assert.match(feed().url, /last_event_id=M-7/);
});

test("WebSocket is tried each minute, and taken when it opens", () => {
  const { socket, channel } = fallen();
  feed().open();
  feed().emit("msg", {}, "M-7");
  pass(59999);
  assert.equal(FakeTransport.made.length, 3);
  pass(1);
  FakeTransport.current.open();
  assert.equal(socket.readOnly, false);
  assert.equal(feed().readyState, 2);
  assert.deepEqual(FakeTransport.current.last()[4], { hb_last_id: "M-7" });
  FakeTransport.current.reply();
  assert.equal(channel.state, "joined");
});

test("leave and disconnect end the stream", () => {
  const first = fallen();
  feed().open();
  first.channel.leave();
  assert.equal(feed().readyState, 2);
  const second = fallen();
  feed().open();
  second.socket.disconnect();
  assert.equal(feed().readyState, 2);
  assert.equal(second.socket.readOnly, false);
});

test("a connection that was there once does not fall back at once", () => {
  const socket = new Socket("ws://127.0.0.1/socket", { transport: FakeTransport, eventSource: FakeEventSource, fallback: "events" });
  socket.connect();
  FakeTransport.current.open();
  for (const delay of [1000, 2000, 5000]) {
    FakeTransport.current.drop();
    assert.equal(socket.readOnly, false);
    pass(delay);
  }
  FakeTransport.current.drop();
  assert.equal(socket.readOnly, true);
});

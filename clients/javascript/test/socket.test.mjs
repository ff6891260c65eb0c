// Connecting, keeping alive and coming back, with a stand-in for WebSocket and timers that the test moves.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Socket } from "../dist/hornbeam.js";
import { begin, end, FakeTransport, pass } from "./fakes.mjs";

beforeEach(begin);
afterEach(end);

const made = () => FakeTransport.made.length;
const connect = (options = {}) => {
  const socket = new Socket("http://127.0.0.1:8000/socket", { transport: FakeTransport, ...options });
  socket.connect();
  return socket;
};

test("the address has the path of the WebSocket, the version and the parameters", () => {
  connect({ params: { token: "a b" } });
  assert.equal(FakeTransport.current.url, "ws://127.0.0.1:8000/socket/websocket?token=a+b&vsn=2.0.0");
  assert.equal(FakeTransport.current.binaryType, "arraybuffer");
});

test("parameters that a function gives are asked for at each connect", () => {
  let count = 0;
  connect({ params: () => ({ n: ++count }) });
  FakeTransport.current.drop();
  pass(1000);
  assert.match(FakeTransport.current.url, /n=2/);
});

test("what is wrong with the platform is said at once", () => {
  const { WebSocket, EventSource } = globalThis;
  delete globalThis.WebSocket;
  delete globalThis.EventSource;
  try {
    assert.throws(() => new Socket("ws://127.0.0.1/socket"), /there is no WebSocket here.*"ws"/);
    assert.throws(() => new Socket("ws://127.0.0.1/socket", { transport: FakeTransport, fallback: "events" }), /no EventSource/);
  } finally {
    Object.assign(globalThis, { ...(WebSocket && { WebSocket }), ...(EventSource && { EventSource }) });
  }
});

test("it connects again after 1, 2, 5, 10 and 10 seconds, and anew after a success", () => {
  const socket = connect();
  for (const delay of [1000, 2000, 5000, 10000, 10000]) {
    const before = made();
    FakeTransport.current.drop();
    assert.equal(socket.state, "waiting");
    pass(delay - 1);
    assert.equal(made(), before);
    pass(1);
    assert.equal(made(), before + 1);
  }
  FakeTransport.current.open();
  const before = made();
  FakeTransport.current.drop();
  pass(1000);
  assert.equal(made(), before + 1);
});

test("the jitter is a quarter to either side", () => {
  for (const [random, delay] of [[0, 750], [1, 1250]]) {
    mock.method(Math, "random", () => random);
    const socket = connect();
    const before = made();
    FakeTransport.current.drop();
    pass(delay - 1);
    assert.equal(made(), before);
    pass(1);
    assert.equal(made(), before + 1);
    socket.disconnect();
  }
});

test("a heartbeat goes each 30 seconds; one without an answer in 10 ends the connection", () => {
  const closed = [];
  const socket = connect();
  socket.onClose((why) => closed.push(why));
  const transport = FakeTransport.current;
  transport.open();
  pass(29999);
  assert.equal(transport.sent.length, 0);
  pass(1);
  assert.deepEqual(transport.last(), [null, "1", "hornbeam", "heartbeat", {}]);
  transport.reply();
  pass(30000);
  assert.equal(transport.sent.length, 2);
  pass(9999);
  assert.deepEqual(closed, []);
  pass(1);
  assert.deepEqual(closed, [{ code: 1006, reason: "heartbeat timeout" }]);
  assert.equal(transport.closed.code, 1000);
  pass(1000);
  assert.equal(made(), 2);
});

test("Phoenix's flavour names its own events", () => {
  const socket = connect({ flavour: "phoenix" });
  FakeTransport.current.open();
  pass(30000);
  assert.equal(FakeTransport.current.last()[2], "phoenix");
  socket.channel("room:1").join();
  assert.equal(FakeTransport.current.last()[3], "phx_join");
});

test("a connect that takes 10 seconds is given up", () => {
  const socket = connect();
  pass(9999);
  assert.equal(socket.state, "connecting");
  pass(1);
  assert.equal(socket.state, "waiting");
});

test("what a given-up connection still reports is not heard", () => {
  const socket = connect();
  const [first] = FakeTransport.made;
  first.open();
  pass(30000);
  pass(10000);
  assert.deepEqual([first.onmessage, first.onclose], [null, null]);
  pass(1000);
  FakeTransport.current.open();
  assert.equal(socket.isConnected(), true);
});

test("disconnect ends it for good, and connect begins anew", () => {
  const closed = [];
  const socket = connect();
  socket.onClose((why) => closed.push(why));
  FakeTransport.current.open();
  socket.disconnect(1000, "bye");
  assert.deepEqual(FakeTransport.current.closed, { code: 1000, reason: "bye" });
  assert.deepEqual(closed, [{ code: 1000, reason: "bye" }]);
  pass(100000);
  assert.equal(made(), 1);
  socket.connect();
  socket.connect();
  assert.equal(made(), 2);
});

test("callbacks hear open, message and error, until they are ended", () => {
  const heard = [];
  const socket = connect();
  const end = socket.onOpen(() => heard.push("open"));
  socket.onMessage(({ event }) => heard.push(event));
  socket.onError((error) => heard.push(error.name ?? error));
  FakeTransport.current.open();
  FakeTransport.current.receive(null, null, "a", "x", {});
  FakeTransport.current.onmessage({ data: "no json" });
  FakeTransport.current.onerror("broken");
  FakeTransport.current.drop();
  end();
  pass(1000);
  FakeTransport.current.open();
  assert.deepEqual(heard, ["open", "x", "SyntaxError", "broken"]);
});

test("a class that throws counts as an attempt that failed", () => {
  const errors = [];
  const Broken = class { constructor() { throw new Error("blocked"); } };
  const socket = new Socket("ws://127.0.0.1/socket", { transport: Broken });
  socket.onError((error) => errors.push(error.message));
  socket.connect();
  assert.equal(socket.state, "waiting");
  pass(1000);
  assert.deepEqual(errors, ["blocked", "blocked"]);
});

test("a tab that wakes connects at once, or asks whether the connection is still there", () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  const view = new EventTarget();
  Object.assign(globalThis, { document: page, window: view });
  try {
    const socket = connect();
    FakeTransport.current.drop();
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(made(), 1);
    page.visibilityState = "visible";
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(made(), 2);
    FakeTransport.current.open();
    view.dispatchEvent(new Event("online"));
    page.dispatchEvent(new Event("resume"));
    assert.equal(FakeTransport.current.sent.length, 1);
    pass(10000);
    assert.equal(socket.state, "waiting");
    socket.disconnect();
    view.dispatchEvent(new Event("online"));
    assert.equal(made(), 2);
  } finally {
    delete globalThis.document;
    delete globalThis.window;
  }
});

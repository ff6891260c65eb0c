// The public names of the package.
export { Channel, type ChannelState, type Missed } from "./channel.js";
export { type Message } from "./codec.js";
export { Presence, type Diff, type Entry, type Meta, type PresenceOptions, type State } from "./presence.js";
export { Push, PushError } from "./push.js";
export { Socket, type Closed, type Params, type SocketOptions, type SocketState } from "./socket.js";
export { type EventSourceClass, type TransportClass } from "./transport.js";

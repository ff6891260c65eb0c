// The wire format: Phoenix's V2, a JSON array in text, a short header before the bytes in binary. Pure. Called by Socket.
//
//   text:       [join_ref, ref, topic, event, payload]
//   push:       0, lengths of join_ref, ref, topic, event, then these and the payload     (client to server)
//   push:       0, lengths of join_ref, topic, event, ...                                 (server to client)
//   reply:      1, lengths of join_ref, ref, topic, status, ...
//   broadcast:  2, lengths of topic, event, ...

/** One message, in either direction. A binary payload arrives as a `Uint8Array`. */
export interface Message {
  joinRef: string | null;
  ref: string | null;
  topic: string;
  event: string;
  payload: unknown;
}

/** What a frame carries: a `Uint8Array` for a binary payload, otherwise JSON. */
export function encode({ joinRef, ref, topic, event, payload }: Message): string | Uint8Array<ArrayBuffer> {
  const bytes = binary(payload);
  if (!bytes) return JSON.stringify([joinRef, ref, topic, event, payload ?? {}]);
  const fields = [joinRef ?? "", ref ?? "", topic, event].map((field) => new TextEncoder().encode(field));
  const long = fields.find((field) => field.length > 255);
  if (long) throw new RangeError("a topic or event of a binary message has at most 255 bytes, not " + long.length);
  const head = [0, ...fields.map((field) => field.length), ...fields.flatMap((field) => [...field])];
  const frame = new Uint8Array(head.length + bytes.length);
  frame.set(head);
  frame.set(bytes, head.length);
  return frame;
}

/** The message of a frame. Throws what is no message. */
export function decode(frame: string | ArrayBuffer): Message {
  if (typeof frame === "string") {
    const [joinRef, ref, topic, event, payload] = JSON.parse(frame) as [string | null, string | null, string, string, unknown];
    return { joinRef, ref, topic, event, payload };
  }
  const bytes = new Uint8Array(frame);
  const kind = bytes[0]!;
  const count = [3, 4, 2][kind];
  if (!count) throw new RangeError("unknown kind of binary message: " + kind);
  let at = 1 + count;
  const fields = [...bytes.subarray(1, at)].map((size) => new TextDecoder().decode(bytes.subarray(at, (at += size))));
  const payload = bytes.subarray(at);
  if (kind === 2) return { joinRef: null, ref: null, topic: fields[0]!, event: fields[1]!, payload };
  if (kind === 0) return { joinRef: fields[0]!, ref: null, topic: fields[1]!, event: fields[2]!, payload };
  const [joinRef, ref, topic, status] = fields as [string, string, string, string];
  return { joinRef, ref, topic, event: "hb_reply", payload: { status, response: payload } };
}

function binary(payload: unknown): Uint8Array | undefined {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  if (ArrayBuffer.isView(payload)) return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  return undefined;
}

// A topic over server-sent events, where no WebSocket can be opened. Owned by Channel.
// EventSource comes back by itself after a break; what the server refuses ends it, and Channel tries anew by its back-off.

import type { EventSourceClass, EventStream } from "./transport.js";

/** EventSource.CLOSED */
const CLOSED = 2;

export interface FeedHandlers {
  opened(): void;
  event(event: string, payload: unknown, id: string): void;
  failed(): void;
}

export class EventFeed {
  #source: EventStream;
  #listening = new Set<string>();

  constructor(url: string, EventSource: EventSourceClass, readonly handlers: FeedHandlers) {
    this.#source = new EventSource(url);
    this.#source.onopen = () => handlers.opened();
    this.#source.onerror = () => {
      if (this.#source.readyState === CLOSED) handlers.failed();
    };
    // Before any other event: a history that was missed must be told even to who listens to nothing else.
    this.listen("hb_missed");
  }

  /** EventSource delivers only the events that it was asked for. "error" and "open" are its own. */
  listen(event: string): void {
    if (this.#listening.has(event) || event === "error" || event === "open") return;
    this.#listening.add(event);
    this.#source.addEventListener(event, ({ data, lastEventId }) => {
      let payload: unknown;
      try {
        payload = JSON.parse(data);
      } catch {
        return; // bytes, in base64
      }
      this.handlers.event(event, payload, lastEventId);
    });
  }

  close(): void {
    this.#source.onopen = this.#source.onerror = null;
    this.#source.close();
  }
}

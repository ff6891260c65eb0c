// What Socket needs of the platform: the shapes of WebSocket and EventSource, so that others can stand in for them.

/** What is used of a `WebSocket`: the browser's, Node's, or that of the package `ws`. */
export interface Transport {
  binaryType: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type TransportClass = new (url: string) => Transport;

/** What is used of an `EventSource`. */
export interface EventStream {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  addEventListener(event: string, listener: (event: any) => void): void;
  close(): void;
}

export type EventSourceClass = new (url: string) => EventStream;

/** Calls `woken` when a tab or machine that slept is back, or its network. Gives what ends that. */
export function onWake(woken: () => void): () => void {
  const page = globalThis.document;
  const visible = () => page.visibilityState === "visible" && woken();
  const watched: [EventTarget | undefined, string, () => void][] = [
    [page, "visibilitychange", visible],
    [page, "resume", woken],
    [page && globalThis.window, "pageshow", woken],
    [page && globalThis.window, "online", woken],
  ];
  for (const [target, event, listener] of watched) target?.addEventListener(event, listener);
  return () => {
    for (const [target, event, listener] of watched) target?.removeEventListener(event, listener);
  };
}

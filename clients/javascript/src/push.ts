// A message that waits for its answer. Made by Channel, which settles it once; a join's is settled by each rejoin.

/** Why `Push.promise()` was rejected. `response` is what the server answered, `status` "error" or "timeout". */
export class PushError extends Error {
  constructor(
    readonly status: string,
    readonly response: unknown,
  ) {
    super(`${status}: ${JSON.stringify(response)}`);
    this.name = "PushError";
  }
}

/** A callback that throws is reported as any uncaught error is, and keeps nothing else from running. */
export function call<T>(callback: (value: T) => void, value: T): void {
  try {
    callback(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

export class Push {
  #answer: { status: string; response: unknown } | undefined;
  #hooks: { status: string; callback: (response: any) => void }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Calls `callback` with the response when the answer is `status`: "ok", "error" or "timeout". */
  receive(status: string, callback: (response: any) => void): this {
    this.#hooks.push({ status, callback });
    if (this.#answer?.status === status) call(callback, this.#answer.response);
    return this;
  }

  /** Resolves with the response of "ok"; rejects with a `PushError` for any other answer. */
  promise(): Promise<any> {
    return new Promise((resolve, reject) => {
      const settled = (status: string, response: unknown) =>
        status === "ok" ? resolve(response) : reject(new PushError(status, response));
      this.#hooks.push({ status: "", callback: () => settled(this.#answer!.status, this.#answer!.response) });
      if (this.#answer) settled(this.#answer.status, this.#answer.response);
    });
  }

  /** @internal */
  wait(timeout: number, expired: () => void): void {
    this.stop();
    this.#answer = undefined;
    this.#timer = setTimeout(expired, timeout);
  }

  /** @internal */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** @internal */
  settle(status: string, response: unknown): void {
    this.stop();
    this.#answer = { status, response };
    for (const hook of [...this.#hooks]) if (!hook.status || hook.status === status) call(hook.callback, response);
  }
}

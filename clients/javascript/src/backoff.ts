// One thing that is tried again, later each time. Owned by the Socket (its connection) and by each Channel (its join).

/** Milliseconds before the first, second, ... attempt; the last one stands for all that follow. */
export const DELAYS: readonly number[] = [1000, 2000, 5000, 10000];

export class Backoff {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tries = 0;

  constructor(
    readonly delays: readonly number[],
    readonly attempt: () => void,
  ) {}

  get waiting(): boolean {
    return this.#timer !== undefined;
  }

  /** A quarter more or less, so that the clients of a server that has restarted do not come all at once. */
  schedule(delay = this.delays[Math.min(this.#tries++, this.delays.length - 1)] ?? 0): void {
    this.cancel();
    this.#timer = setTimeout(() => this.now(), delay * (0.75 + Math.random() / 2));
  }

  now(): void {
    this.cancel();
    this.attempt();
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  reset(): void {
    this.cancel();
    this.#tries = 0;
  }
}

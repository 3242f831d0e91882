import type { ErrorCode } from "./errors.js";
import { LightkeepError } from "./errors.js";

/** The pause before the second attempt, milliseconds; it doubles each time. */
const FIRST_PAUSE_MS = 250;

/** The longest pause, milliseconds. */
const LONGEST_PAUSE_MS = 5000;

/** What timers can hold, milliseconds: they fire at once for more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A limit of time that several attempts share. */
export class Deadline {
  readonly #end: number;

  /** Ends in `timeoutMs` milliseconds, or never where that is 0 or less. */
  constructor(timeoutMs: number) {
    this.#end = timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
  }

  /** What is left, milliseconds, as far as timers can hold it: at least 1, so that an attempt ends at once; 0 for no end. */
  get leftMs(): number {
    if (!Number.isFinite(this.#end)) return 0;
    return Math.min(Math.max(1, Math.ceil(this.#end - performance.now())), LONGEST_TIMER_MS);
  }

  /** Whether it is over in `ms` milliseconds. */
  isOverIn(ms: number): boolean {
    return performance.now() + ms >= this.#end;
  }
}

/** The one failure after which a call may be made again: the server was not there. */
const NOT_THERE: ErrorCode = "UNAVAILABLE";

/** With these reasons it passes by itself; others, such as that of a target that is away, are the outcome of the call. */
const PASSING = [undefined, "SERVER_STOPPING", "DATABASE_UNAVAILABLE"];

/** Counts attempts, and waits between them. */
export class Attempts {
  #made = 0;

  /** At most `most` attempts until `deadline`. */
  constructor(
    private readonly most: number,
    private readonly deadline: Deadline,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * Waits before the next attempt.
   *
   * @throws LightkeepError where there is none: the failure of this one, or CANCELLED.
   */
  async again(error: unknown): Promise<void> {
    this.#made += 1;
    const failure = LightkeepError.from(error);
    const full = Math.min(FIRST_PAUSE_MS * 2 ** (this.#made - 1), LONGEST_PAUSE_MS);
    // Of many clients not all come back at one moment.
    const pause = full * (0.5 + Math.random() / 2);
    const isPassing = failure.code === NOT_THERE && PASSING.includes(failure.reason);
    if (!isPassing || this.#made >= this.most || this.deadline.isOverIn(pause)) throw failure;
    await sleep(pause, this.signal);
  }
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new LightkeepError("CANCELLED", "the caller has stopped the call", { cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
  });
}

/** Why a call was ended from this side. */
export type EndReason = "CANCELLED" | "DEADLINE_EXCEEDED";

/**
 * Ends a call: after a time, by the caller's signal, or when nobody needs it any more. Made by hand: what `AbortSignal.any` and
 * `AbortSignal.timeout` give together is collected as garbage in Node 20 before it fires.
 */
export class CallEnd {
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #caller: AbortSignal | undefined;
  #reason: EndReason | undefined;

  /** Ends it after `timeoutMs` milliseconds where that is more than 0. */
  constructor(timeoutMs: number, caller: AbortSignal | undefined) {
    this.#caller = caller;
    if (timeoutMs > 0) {
      this.#timer = setTimeout(() => {
        this.#abort("DEADLINE_EXCEEDED");
      }, timeoutMs);
    }
    caller?.addEventListener("abort", this.#stop);
    if (caller?.aborted) this.#stop();
  }

  /** For what makes the call. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the call was ended; not set where it was not, or was not needed any more. */
  get reason(): EndReason | undefined {
    return this.#reason;
  }

  /** The call is not needed any more. To be said of each: it lets go of the timer and the caller's signal. */
  end(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#stop);
    this.#controller.abort();
  }

  readonly #stop = () => {
    this.#abort("CANCELLED");
  };

  #abort(reason: EndReason): void {
    this.#reason ??= reason;
    this.#controller.abort();
  }
}

/** The sentence for it. */
export function endSentence(reason: EndReason): string {
  return reason === "CANCELLED" ? "the caller has stopped the call" : "the answer took longer than the time limit";
}

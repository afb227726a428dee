import type { Ms } from '../model.ts';

/** A count of requests that starts again with each window; windows are aligned to the epoch. */
export interface QuotaWindow {
  /** Takes one request if any is left. */
  take(nowMs: Ms): QuotaState & { readonly granted: boolean };
}

/** How much of a quota is used. */
export interface QuotaState {
  readonly limit: number;
  readonly remaining: number;
  /** Where the current window ends. */
  readonly endsMs: Ms;
}

/**
 * `limit` requests per `windowMs`. Of these, `others` are used up evenly over each window by tools that we do
 * not see.
 */
export function createQuotaWindow(limit: number, windowMs: number, others = 0): QuotaWindow {
  let current = Number.NaN;
  let used = 0;
  return {
    take(nowMs) {
      const index = Math.floor(nowMs / windowMs);
      if (index !== current) {
        current = index;
        used = 0;
      }
      const taken = Math.floor((others * (nowMs - index * windowMs)) / windowMs);
      const granted = used + taken < limit;
      if (granted) used++;
      return { granted, limit, remaining: Math.max(0, limit - used - taken), endsMs: (index + 1) * windowMs };
    },
  };
}

import { type Clock, DAY_MS, HOUR_MS } from '../clock.ts';
import type { Ms } from '../model.ts';
import type { Rank } from './shared-quota.ts';
import type { Quota } from './source.ts';

/** What the headers of one answer say about the quota's window. */
export interface Allowance {
  readonly limit: number | null;
  /** Requests that the window still allows, all users of the quota together. */
  readonly remaining: number;
  /** ms from now until the window ends; null: not told. */
  readonly resetInMs: number | null;
  /** Names the window where the API gives its end as a time; null where it gives only a rest. */
  readonly windowId: number | null;
  /** The window's length in ms. */
  readonly periodMs: number | null;
}

/** How hard one credential may be used. */
export interface GateSettings {
  /** Requests in flight. */
  readonly concurrency: number;
  /** Least time between the starts of two requests, in ms. */
  readonly spacingMs: number;
  /** Share of the quota (0 to 1) left for others; one request a window is ours in any case. */
  readonly reserve: number;
}

/** What an answer, or its absence, says about the quota. `busy`: too many queries at once. `failed`: no quota told. */
export interface Answered {
  readonly kind: 'ok' | 'refused' | 'busy' | 'failed';
  readonly allowance: Allowance | null;
  readonly retryAfterMs: number | null;
}

/** One request, from its start to its end. */
export interface Ticket {
  answered(answer: Answered, now: Ms): void;
  end(now: Ms): void;
}

/** The count of what may be sent on one credential. Knows no queue and no timer. */
export interface Ration {
  /** Requests of this rank that may start now. */
  available(now: Ms, rank: Rank): number;
  /** When the quota opens again; null where something else, or nothing, is waited for. */
  opensAt(now: Ms, rank: Rank): Ms | null;
  start(now: Ms, rank: Rank): Ticket;
  tighten(settings: GateSettings): void;
  quota(now: Ms): Quota;
}

/** The window that is open, as far as answers told. */
export interface KnownWindow {
  readonly id: number | null;
  readonly limit: number | null;
  /** The least that an answer told. */
  readonly heard: number;
  readonly periodMs: number | null;
  readonly endsAt: Ms;
  /** When our request was sent whose answer told it last; -Infinity: other processes told us. */
  readonly heardAt: Ms;
}

/** The count of one process, by what its answers told, and what it was told of by others. */
export interface LocalRation extends Omit<Ration, 'available' | 'opensAt' | 'start'> {
  /** Requests that may start now; with `parts` only one such part of what the window still allows. */
  available(now: Ms, parts?: number): number;
  opensAt(now: Ms): Ms | null;
  start(now: Ms): Ticket;
  /** The window that is open; null: none is known. The same object as long as it is the same window. */
  known(now: Ms): KnownWindow | null;
  /** When the next window is taken for open; null: no window is known. */
  reopensAt(): Ms | null;
  /** Whether the answers tell of no quota. */
  unbounded(): boolean;
  /** Requests sent whose answers are still to come. */
  unanswered(): number;
  /** Until when the API's refusals hold us; 0: they do not. */
  refusedUntil(): Ms;
  /** Requests of a window of `limit` that are left for others. */
  kept(limit: number | null): number;
  readonly reserve: number;
  /** Another process was told this at `now`. */
  tell(allowance: Allowance, now: Ms): void;
  /** Another process was refused. */
  hold(until: Ms): void;
}

interface QuotaWindow extends KnownWindow {
  /** The least that any answer of this window told. */
  heard: number;
  /** That, less the requests that went unanswered. */
  remaining: number;
  heardAt: Ms;
  /** A little after the end, so that many processes do not all come at once. */
  readonly opensAt: Ms;
  readonly knownSince: Ms;
}

const UNTOLD_MS = 1_000;
const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 60_000;
/** Answers give the rest of a window in whole seconds. */
const SAME_WINDOW_MS = 1_500;
const CALM_ANSWERS = 20;

/**
 * A ration that trusts only what was told: one request until the first answer (and at the start of each window),
 * then what the headers left, less the requests still unanswered, less the reserve. No headers at all: no bound
 * but the concurrency.
 */
export function createRation(
  first: GateSettings,
  options: { readonly clock: Clock; readonly random?: () => number },
): LocalRation {
  const random = options.random ?? Math.random;
  let { concurrency, reserve } = first;
  let slots = concurrency;
  let calm = 0;
  let running = 0;
  let unanswered = 0;
  let refusals = 0;
  let refusedUntil: Ms = 0;
  let heldUntil: Ms = 0;
  let told: 'nothing' | 'no bound' | 'window' = 'nothing';
  let window: QuotaWindow | null = null;

  const pausedUntil = () => Math.max(refusedUntil, heldUntil);

  function spare(now: Ms, parts = 1): number {
    if (now < pausedUntil()) return 0;
    if (told === 'window' && window !== null && now >= window.opensAt) told = 'nothing';
    if (told === 'nothing') return 1 - unanswered;
    if (told === 'no bound' || window === null) return slots;
    return Math.floor((window.remaining - kept(window.limit)) / parts) - unanswered;
  }

  /** The reserve in requests; at least one of a window's requests is ours. */
  function kept(limit: number | null): number {
    return limit === null ? 0 : Math.max(0, Math.min(Math.ceil(limit * reserve), limit - 1));
  }

  function note(allowance: Allowance, sentAt: Ms, now: Ms): void {
    // A reset beyond the period is a mistake: wait that period at most, then ask.
    const longest = Math.min(allowance.periodMs ?? HOUR_MS, DAY_MS);
    const waitMs = Math.min(Math.max(allowance.resetInMs ?? allowance.periodMs ?? UNTOLD_MS, 0), longest);
    const endsAt = now + waitMs;
    if (told === 'window' && window !== null) {
      const same =
        allowance.windowId !== null && window.id !== null
          ? allowance.windowId === window.id
          : Math.abs(endsAt - window.endsAt) <= tolerance(allowance.periodMs);
      if (same) {
        // Answers overtake each other: within a window the lowest number is the newest.
        window.heard = Math.min(window.heard, allowance.remaining);
        window.heardAt = Math.max(window.heardAt, sentAt);
        window.remaining = Math.min(window.remaining, allowance.remaining);
        return;
      }
      if (endsAt < window.endsAt && sentAt < window.knownSince) return; // a late answer of an older window
    }
    const jitterMs = random() * Math.min(1_000, Math.max(50, waitMs / 50));
    window = {
      id: allowance.windowId,
      limit: allowance.limit,
      periodMs: allowance.periodMs,
      remaining: allowance.remaining,
      heard: allowance.remaining,
      heardAt: sentAt,
      endsAt,
      opensAt: endsAt + jitterMs,
      knownSince: now,
    };
    told = 'window';
  }

  function pause(ms: number, now: Ms): void {
    refusedUntil = Math.max(refusedUntil, now + ms);
  }

  function backoff(): number {
    const step = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(refusals, 10));
    return step * (0.75 + random() / 2);
  }

  function learn(answer: Answered, sentAt: Ms, now: Ms): void {
    const { allowance } = answer;
    if (allowance !== null) note(allowance, sentAt, now);
    else if (told === 'window' && window !== null) window.remaining = Math.max(0, window.remaining - 1);
    else if (answer.kind === 'ok') told = 'no bound';
    if (answer.retryAfterMs !== null) pause(Math.min(answer.retryAfterMs, HOUR_MS), now);
    if (answer.kind === 'busy') {
      slots = Math.max(1, Math.floor(slots / 2));
      calm = 0;
      refusals += 1;
      pause(backoff(), now);
    } else if (answer.kind === 'refused') {
      refusals += 1;
      const openLater = window !== null && told === 'window' && window.remaining < 1 && window.endsAt > now;
      // The first refusal with a told end waits for that end alone; without one, or refused again, longer each time.
      // "At once" is no end: whoever refuses and says so would be asked as often as it can refuse.
      const toldWhen = answer.retryAfterMs !== null && answer.retryAfterMs >= UNTOLD_MS;
      if (!toldWhen && (!openLater || refusals > 1)) pause(backoff(), now);
    } else if (answer.kind === 'ok') {
      refusals = 0;
      calm += 1;
      if (slots < concurrency && calm % CALM_ANSWERS === 0) slots += 1;
    }
  }

  return {
    available: (now, parts) => Math.max(0, Math.min(spare(now, parts), slots - running)),
    opensAt(now) {
      if (now < pausedUntil()) {
        return told === 'window' && window !== null && window.remaining - kept(window.limit) < 1
          ? Math.max(pausedUntil(), window.opensAt)
          : pausedUntil();
      }
      if (spare(now) >= 1 || told !== 'window' || window === null) return null;
      // Where only unanswered requests stand in the way, their answers open the gate.
      return window.remaining - kept(window.limit) < 1 ? window.opensAt : null;
    },
    known: (now) => (told === 'window' && window !== null && now < window.endsAt ? window : null),
    reopensAt: () => (told === 'window' && window !== null ? window.opensAt : null),
    unbounded: () => told === 'no bound',
    unanswered: () => unanswered,
    refusedUntil: () => refusedUntil,
    kept,
    get reserve() {
      return reserve;
    },
    // Never newer than what we heard ourselves.
    tell: (allowance, now) => note(allowance, Number.NEGATIVE_INFINITY, now),
    hold(until) {
      heldUntil = until;
    },
    start(now) {
      let open = true;
      running += 1;
      unanswered += 1;
      const answered = (answer: Answered, at: Ms) => {
        if (!open) return;
        open = false;
        unanswered -= 1;
        learn(answer, now, at);
      };
      return {
        answered,
        end(at) {
          answered({ kind: 'failed', allowance: null, retryAfterMs: null }, at);
          running -= 1;
        },
      };
    },
    tighten(settings) {
      concurrency = Math.min(concurrency, settings.concurrency);
      slots = Math.min(slots, concurrency);
      reserve = Math.max(reserve, settings.reserve);
    },
    quota(now) {
      if (window === null) return { limit: null, remaining: null, resetMs: null, periodMs: null };
      const over = now >= window.endsAt;
      return {
        limit: window.limit,
        remaining: over ? null : window.remaining,
        resetMs: over ? null : window.endsAt,
        periodMs: window.periodMs,
      };
    },
  };
}

function tolerance(periodMs: number | null): number {
  return periodMs === null ? SAME_WINDOW_MS : Math.min(SAME_WINDOW_MS, periodMs / 2);
}

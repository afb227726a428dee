import type { Clock } from '../clock.ts';
import type { Ms } from '../model.ts';
import { createBurst, type Peers } from './burst.ts';
import { createPermits } from './permits.ts';
import type { Answered, LocalRation, Ration } from './ration.ts';
import type { QuotaGrant, QuotaReport, Rank, SharedQuota } from './shared-quota.ts';

/** A ration that all processes share. */
export interface SharedRation extends Ration {
  /** `need` requests of this rank wait: more are taken from the common plan where that is what they wait for. */
  want(now: Ms, rank: Rank, need: number): void;
  /** Until when it may be that none of this rank starts, where `opensAt` is only when to ask again; null: it is more. */
  waitsUntil(now: Ms, rank: Rank): Ms | null;
  /** Gives back the permits that are left, and leaves. */
  close(): Promise<void>;
}

/** What a shared ration is made of. */
export interface SharedRationOptions {
  /** The gate's key. */
  readonly key: string;
  readonly local: LocalRation;
  readonly shared: SharedQuota;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called when more may be allowed than before. */
  readonly onChange: () => void;
}

/** What the others said is looked up again after this, while requests are being sent. */
const REFRESH_MS = 5_000;
/** What is older than this says nothing any more. */
const STALE_MS = 15_000;
/** Permits go back after this time without use. */
const IDLE_MS = 1_000;
/** How long a first request may take to find out what a new window allows. */
const FIRST_MS = 10_000;
const LEAST_WAIT_MS = 50;
/** A wait as short as this means that the plan cannot know it: others wait, or may give something back. */
const POLL_MS = 1_000;
/** Where so many were given at once, more are fetched before they are used up. */
const PLENTY = 16;

/**
 * What decides. `unasked`: the plan must be asked first. `alone`: it is out of reach. `free`: the API tells of no
 * quota, or of windows too short to be counted out. `counted`: each request must have been given.
 */
type Mode = 'unasked' | 'alone' | 'free' | 'counted';

/**
 * A ration within the plan of all processes: each request needs the leave of the local ration and one that was given
 * by the plan. Where the API tells of no quota nothing is counted; of windows of 5 s or less each process keeps to
 * its part; where the plan is out of reach, to a careful part of what it was told.
 */
export function createSharedRation(options: SharedRationOptions): SharedRation {
  const { key, local, shared, clock, random, onChange } = options;
  const permits = createPermits();
  const burst = createBurst(local);
  let plan: Pick<QuotaGrant, 'unbounded' | 'others' | 'othersLive'> | null = null;
  let plannedAt: Ms = Number.NEGATIVE_INFINITY;
  let lastGiven = 0;
  let asking: Promise<void> | null = null;
  /** When it is worth asking again, by rank; after a failure, for all. */
  const askAt: [Ms, Ms, Ms] = [0, 0, 0];
  /** Whether that is all that is known of the wait. */
  const polls: [boolean, boolean, boolean] = [false, false, false];
  let retryAt: Ms = 0;
  let alone = false;
  /** Whether the others wait for what our first answer tells of a window. */
  let finding = false;
  let liveAt: Ms = Number.NEGATIVE_INFINITY;
  // What the next report says, and whether there is anything to say.
  let live = 0;
  let untold = 0;
  let refused = false;
  let changed = false;
  let changedAt = 0;
  let idle: NodeJS.Timeout | null = null;
  let closed = false;

  function modeAt(now: Ms): Mode {
    if (alone) return 'alone';
    if (plan === null || Math.abs(now - plannedAt) > STALE_MS) return 'unasked';
    if (local.unbounded()) return 'free';
    const uncounted = local.known(now) === null ? plan.unbounded : burst.short(now);
    return uncounted ? 'free' : 'counted';
  }

  function peersAt(now: Ms): Peers {
    const { others, othersLive } = plan ?? { others: 0, othersLive: 0 };
    return { others, othersLive, live: now - liveAt < STALE_MS };
  }

  /** How many more the plan allows; the local ration may allow fewer. */
  function bound(now: Ms, rank: Rank): number {
    switch (modeAt(now)) {
      case 'unasked':
        return 0;
      case 'free':
        return local.unbounded() ? Number.POSITIVE_INFINITY : burst.left(now, peersAt(now));
      case 'alone':
        return local.available(now, Math.max(2, peersAt(now).others + 1) * (rank > 0 ? 2 : 1));
      case 'counted':
        return permits.count(now, rank);
    }
  }

  function ask(rank: Rank, need: number, leaves = false): Promise<void> {
    const askedAt = clock.now();
    const report = reportAt(askedAt, rank, need, leaves);
    live = 0;
    untold = 0;
    refused = false;
    changed = false;
    asking = shared
      .take(key, report)
      .then((grant) => learnPlan(grant, rank, need, askedAt))
      .finally(() => {
        asking = null;
        if (changed) armIdle();
        onChange();
      });
    return asking;
  }

  function reportAt(now: Ms, rank: Rank, need: number, leaves: boolean): QuotaReport {
    const window = local.known(now);
    const periodMs = burst.periodMs(now);
    return {
      rank,
      need,
      holding: permits.count(now, 0) + local.unanswered(),
      reserve: local.reserve,
      live,
      // Who leaves will not say what became of these.
      unanswered: untold + (leaves ? local.unanswered() : 0),
      pauseMs: refused ? Math.max(0, local.refusedUntil() - now) : 0,
      unbounded: local.unbounded(),
      window:
        window === null || window.heardAt === Number.NEGATIVE_INFINITY
          ? null
          : {
              limit: window.limit,
              remaining: window.heard,
              restMs: window.endsAt - now,
              ageMs: Math.max(0, now - window.heardAt),
              windowId: window.id,
              periodMs: periodMs > 0 ? periodMs : null,
            },
      leaves,
    };
  }

  /** All that the plan says counts from when it was asked: the answer may have been long on its way. */
  function learnPlan(grant: QuotaGrant | null, rank: Rank, need: number, askedAt: Ms): void {
    const now = clock.now();
    alone = grant === null;
    if (grant === null) {
      retryAt = now + REFRESH_MS;
      return;
    }
    plan = grant;
    plannedAt = askedAt;
    const { window, granted, pauseMs, periodMs } = grant;
    const restMs = window === null ? 0 : window.restMs - (now - askedAt);
    if (window !== null && restMs > 0) local.tell({ ...window, resetInMs: restMs, periodMs }, now);
    local.hold(pauseMs > 0 ? askedAt + pauseMs : 0);
    if (granted > 0) {
      permits.count(now, 0);
      permits.give(rank, granted, askedAt + (window?.restMs ?? FIRST_MS));
      lastGiven = granted;
      finding = window === null;
      changed = true;
    }
    if (need === 0) return;
    const free = granted > 0 || (grant.unbounded && grant.waitMs === 0);
    // Many processes that wait for the same must not all come at once.
    polls[rank] = !free && window !== null && pauseMs === 0 && grant.waitMs <= POLL_MS;
    askAt[rank] = free ? now : Math.max(now + LEAST_WAIT_MS, askedAt + grant.waitMs * (1 + random() / 5));
  }

  /** Sees to it that what is not used goes back, and what was learnt is said. */
  function armIdle(): void {
    changedAt = performance.now();
    if (idle !== null || closed) return;
    const look = () => {
      idle = null;
      if (closed || !changed) return;
      if (performance.now() - changedAt < IDLE_MS - 50 || asking !== null) return arm();
      permits.clear();
      void ask(rankNow(), 0);
    };
    // Of real time: a clock that a test moves on must not be moved on by this.
    const arm = () => {
      idle = setTimeout(look, IDLE_MS);
      idle.unref();
    };
    arm();
  }

  function rankNow(): Rank {
    return peersAt(clock.now()).live ? 0 : 2;
  }

  function learnAnswer(answer: Answered): void {
    const now = clock.now();
    const mode = modeAt(now);
    if (answer.allowance === null && !local.unbounded()) untold += 1;
    refused ||= answer.kind === 'refused' || answer.kind === 'busy' || answer.retryAfterMs !== null;
    changed = true;
    if (mode === 'counted') armIdle();
    // The others wait for what a first answer tells, and must know of a refusal.
    const held = refused && (mode === 'counted' || local.refusedUntil() - now > REFRESH_MS);
    if (!finding && !held) return;
    finding = false;
    queueMicrotask(() => {
      if (!closed && asking === null && !alone && changed) void ask(rankNow(), 0);
    });
  }

  return {
    available: (now, rank) => Math.max(0, Math.min(local.available(now), bound(now, rank))),
    opensAt(now, rank) {
      if (local.available(now) < 1) return local.opensAt(now);
      if (bound(now, rank) >= 1) return null;
      switch (modeAt(now)) {
        case 'free':
          return coming(now, burst.opensAt(now, peersAt(now)));
        case 'alone':
          return coming(now, retryAt, local.reopensAt());
        default:
          return coming(now, asking === null ? askAt[rank] : null);
      }
    },
    want(now, rank, need) {
      if (closed || asking !== null) return;
      const mode = modeAt(now);
      if (mode === 'free' || now < (mode === 'alone' ? retryAt : askAt[rank])) return;
      const lacking = Math.min(need, local.available(now)) - bound(now, rank);
      if (mode === 'alone') void ask(rank, 0);
      else if (lacking > 0) void ask(rank, lacking);
    },
    // The live log is served as soon as anything comes back; the others may have to wait for the next window.
    waitsUntil: (now, rank) => (rank > 0 && polls[rank] ? (local.known(now)?.endsAt ?? null) : null),
    start(now, rank) {
      const mode = modeAt(now);
      if (mode === 'counted') permits.take(rank);
      if (rank === 0) {
        live += 1;
        liveAt = now;
      }
      burst.sent(now);
      changed = true;
      if (mode === 'counted') armIdle();
      const ticket = local.start(now);
      if (asking === null && !closed && (!alone || now >= retryAt)) {
        const plenty = mode === 'counted' && lastGiven >= PLENTY && now >= askAt[rank];
        const short = plenty && permits.count(now, 0) < lastGiven / 4;
        if (short || now - plannedAt > REFRESH_MS) void ask(rank, short ? 1 : 0);
      }
      let open = true;
      return {
        answered(answer, at) {
          ticket.answered(answer, at);
          if (open) learnAnswer(answer);
          open = false;
        },
        end(at) {
          ticket.end(at);
          if (open) learnAnswer({ kind: 'failed', allowance: null, retryAfterMs: null });
          open = false;
        },
      };
    },
    tighten: (settings) => local.tighten(settings),
    quota: (now) => local.quota(now),
    async close() {
      if (closed) return;
      closed = true;
      if (idle !== null) clearTimeout(idle);
      await asking;
      permits.clear();
      if (plan !== null && !alone) await ask(rankNow(), 0, true);
    },
  };
}

/** The earliest of these times that is still to come; null: none is. */
function coming(now: Ms, ...times: readonly (Ms | null)[]): Ms | null {
  const later = times.filter((time) => time !== null && time > now) as Ms[];
  return later.length === 0 ? null : Math.min(...later);
}

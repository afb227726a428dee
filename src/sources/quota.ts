import Bottleneck from 'bottleneck';
import { type Clock, steadyClock } from '../clock.ts';
import { LogkeepError } from '../errors.ts';
import type { Ms } from '../model.ts';
import { type Answered, createRation, type GateSettings, type LocalRation } from './ration.ts';
import { type Rank, rankOf, type SharedQuota } from './shared-quota.ts';
import { createSharedRation, type SharedRation } from './shared-ration.ts';
import type { Meter, Quota } from './source.ts';

/** Who asks for a turn. */
export interface Turn {
  readonly signal: AbortSignal;
  readonly meter: Meter;
  /** Called before a wait for quota of more than 200 ms, once for each such wait: how long it is, at most. */
  readonly onWait?: (waitMs: number) => void;
  /** 0 (first) to 9; live (up to 3) before sweep (up to 6) before backfill. Absent: as live. */
  readonly priority?: number;
  /** Called when the turn has come, before anything is counted as sent: what it throws ends the turn, and uses up nothing. */
  readonly onTurn?: () => void;
}

/** The turns of one credential, shared by all streams of the process that use it. */
export interface QuotaGate {
  /** Names host and account, without the secret itself. */
  readonly key: string;
  /** Requests in flight at most. */
  readonly concurrency: number;
  /**
   * Runs `send` when the quota, the spacing and the concurrency allow. `send` must call `answered` once, as soon
   * as the answer's headers are known. Rejects with kind `aborted` when the signal aborts or the gate closes.
   */
  run<T>(turn: Turn, send: (answered: (answer: Answered) => void) => Promise<T>): Promise<T>;
  /** What the API last said. */
  quota(): Quota;
  /** Another stream uses the credential too: the stricter of both settings holds. */
  tighten(settings: GateSettings): void;
  /** Sends everybody away at once; resolves when what was taken from the other processes' plan is given back. */
  close(): Promise<void>;
}

/** What a gate needs; `shared` is the plan of all processes, without which it counts for itself alone. */
export interface GateOptions {
  readonly clock: Clock;
  readonly random?: () => number;
  readonly shared?: SharedQuota;
}

const AGAIN = Symbol('again');
const RANKS: readonly Rank[] = [0, 1, 2];
const LIVE_PRIORITY = 2;
const ANNOUNCED_MS = 200;

interface Waiting {
  readonly turn: Turn;
  readonly priority: number;
  readonly rank: Rank;
  /** Since when quota alone keeps it waiting. */
  since: Ms | null;
  /** The end of the wait that it was told of. */
  told: Ms | null;
}

/**
 * A gate with a count of what may be sent (`ration.ts`, `shared-ration.ts`), which decides; Bottleneck keeps the queue, the
 * priorities and the spacing, and its reservoir follows the count. A request that need not wait passes at once,
 * since Bottleneck's timers would cost it several ms.
 */
export function createGate(key: string, first: GateSettings, options: GateOptions): QuotaGate {
  const clock = steadyClock(options.clock);
  const ration = openRation(key, first, { ...options, clock }, () => align());
  const waiting = new Set<Waiting>();
  const closing = new AbortController();
  let spacingMs = first.spacingMs;
  let limiter: Bottleneck | null = null;
  // What Bottleneck may still start: its reservoir and the jobs it has promised to start.
  let tokens = 0;
  let wake: { readonly at: Ms; readonly stop: AbortController } | null = null;

  /** Brings the reservoir in line with the ration, tells the waiting and sets the alarm for the next opening. */
  function align(): void {
    if (waiting.size === 0 || limiter === null) {
      disarm();
      return;
    }
    const now = clock.now();
    const want = startable(now);
    if (want !== tokens) {
      // Never by updateSettings(), which Bottleneck does badly. The promise rejects only after stop().
      limiter.incrementReservoir(want - tokens).then(undefined, () => {});
      tokens = want;
    }
    const opens = RANKS.map((rank) => ration.opensAt(now, rank));
    let first: Ms | null = null;
    for (const one of waiting) {
      const opensAt = opens[one.rank] ?? null;
      if (opensAt === null) continue;
      first = Math.min(first ?? opensAt, opensAt);
      one.since ??= now;
      const until = Math.max(opensAt, ration.waitsUntil(now, one.rank) ?? opensAt);
      if (one.told === until || one.turn.signal.aborted) continue;
      one.told = until;
      if (until - now > ANNOUNCED_MS) one.turn.onWait?.(until - now);
    }
    if (first === null) disarm();
    else arm(first, now);
  }

  /** How many of those who wait may start: of each rank and those before it no more than the rank is allowed. */
  function startable(now: Ms): number {
    let most = 0;
    let asked = false;
    for (const rank of RANKS) {
      let count = 0;
      let own = false;
      for (const one of waiting) {
        if (one.rank <= rank) count += 1;
        own ||= one.rank === rank;
      }
      if (!own) continue;
      const allowed = ration.available(now, rank);
      most = Math.max(most, Math.min(count, allowed));
      // Whoever comes first asks first.
      if (allowed < count && !asked) {
        asked = true;
        ration.want(now, rank, count);
      }
    }
    return most;
  }

  function arm(at: Ms, now: Ms): void {
    if (wake?.at === at) return;
    disarm();
    const alarm = { at, stop: new AbortController() };
    wake = alarm;
    clock.sleep(Math.max(1, at - now), alarm.stop.signal).then(
      () => {
        if (wake === alarm) wake = null;
        align();
      },
      () => {},
    );
  }

  function disarm(): void {
    wake?.stop.abort();
    wake = null;
  }

  async function send<T>(rank: Rank, task: (answered: (answer: Answered) => void) => Promise<T>): Promise<T> {
    const ticket = ration.start(clock.now(), rank);
    try {
      return await task((answer) => {
        ticket.answered(answer, clock.now());
        align();
      });
    } finally {
      ticket.end(clock.now());
      align();
    }
  }

  function queue<T>(
    one: Waiting,
    task: (answered: (answer: Answered) => void) => Promise<T>,
    again: boolean,
  ): Promise<T | typeof AGAIN> {
    // `maxConcurrent` is Bottleneck's bound, the ration's slots are ours, which can shrink.
    limiter ??= new Bottleneck({ minTime: spacingMs, maxConcurrent: first.concurrency, reservoir: 0 });
    const priority = Math.max(0, one.priority - (again ? 1 : 0));
    const job = limiter.schedule({ priority }, async () => {
      tokens -= 1;
      // The ration may have shrunk, or the caller left, between Bottleneck's choice and this start.
      if (!waiting.has(one) || ration.available(clock.now(), one.rank) < 1) {
        align();
        return AGAIN;
      }
      leave(one);
      one.turn.onTurn?.();
      return await send(one.rank, task);
    });
    align();
    return job;
  }

  function leave(one: Waiting): void {
    if (!waiting.delete(one) || one.since === null) return;
    one.turn.meter.waits += 1;
    one.turn.meter.waitMs += Math.max(0, clock.now() - one.since);
  }

  return {
    key,
    concurrency: first.concurrency,
    async run(turn, task) {
      stopIfNeeded(turn.signal, closing.signal);
      const priority = turn.priority ?? LIVE_PRIORITY;
      const rank = rankOf(priority);
      if (spacingMs === 0 && waiting.size === 0 && ration.available(clock.now(), rank) >= 1) {
        turn.onTurn?.();
        return send(rank, task);
      }
      const one: Waiting = { turn, priority, rank, since: null, told: null };
      waiting.add(one);
      const left = Promise.withResolvers<never>();
      const leaveNow = () => {
        // Once started, the request itself ends the turn.
        if (waiting.has(one)) left.reject(new LogkeepError('aborted', 'stopped while waiting for quota'));
      };
      turn.signal.addEventListener('abort', leaveNow, { once: true });
      closing.signal.addEventListener('abort', leaveNow, { once: true });
      try {
        for (let again = false; ; again = true) {
          stopIfNeeded(turn.signal, closing.signal);
          const job = queue(one, task, again);
          // Where the caller leaves first, nobody else looks at the job's end.
          job.then(undefined, () => {});
          const result = await Promise.race([job, left.promise]);
          if (result !== AGAIN) return result;
        }
      } finally {
        turn.signal.removeEventListener('abort', leaveNow);
        closing.signal.removeEventListener('abort', leaveNow);
        left.promise.then(undefined, () => {});
        leave(one);
        align();
      }
    },
    quota() {
      const now = clock.now();
      const { resetMs, ...told } = ration.quota(now);
      // By the clock that the others know.
      return {
        ...told,
        resetMs: resetMs === null ? null : options.clock.now() + (resetMs - now),
        credential: key,
      };
    },
    tighten(settings) {
      ration.tighten(settings);
      if (settings.spacingMs <= spacingMs) return;
      spacingMs = settings.spacingMs;
      limiter?.updateSettings({ minTime: spacingMs });
    },
    async close() {
      if (closing.signal.aborted) return;
      closing.abort();
      disarm();
      limiter?.stop({ dropWaitingJobs: true }).then(undefined, () => {});
      await ration.close();
    },
  };
}

function openRation(
  key: string,
  settings: GateSettings,
  { clock, random = Math.random, shared }: GateOptions,
  onChange: () => void,
): SharedRation {
  const local: LocalRation = createRation(settings, { clock, random });
  if (shared === undefined)
    return {
      ...local,
      available: (now) => local.available(now),
      want() {},
      waitsUntil: () => null,
      async close() {},
    };
  return createSharedRation({ key, local, shared, clock, random, onChange });
}

function stopIfNeeded(...signals: AbortSignal[]): void {
  if (signals.some((signal) => signal.aborted)) {
    throw new LogkeepError('aborted', 'stopped before a request was sent');
  }
}

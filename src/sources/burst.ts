import type { Ms } from '../model.ts';
import type { KnownWindow, LocalRation } from './ration.ts';
import { SHORT_WINDOW_MS } from './shared-quota.ts';

/** Who uses a credential besides this process, and whether this one reads the live log. */
export interface Peers {
  readonly others: number;
  readonly othersLive: number;
  readonly live: boolean;
}

/** One process's part of quota windows that are too short for processes to agree on each request. */
export interface Burst {
  /** Whether the window that is open, if one is known, is that short. */
  short(now: Ms): boolean;
  /** The window's length as told, else the longest rest of one that was seen; 0: none was. */
  periodMs(now: Ms): Ms;
  /** How many more of the window's requests are ours; Infinity: nobody says how many it has. */
  left(now: Ms, peers: Peers): number;
  /** When more of its requests will be ours; null: not known. */
  opensAt(now: Ms, peers: Peers): Ms | null;
  sent(now: Ms): void;
}

/** A process that reads the live log has this many parts of a window's requests; any other has one. */
const LIVE_PARTS = 4;
const LEAST_PERIOD_MS = 1_000;

/** The part of a process whose own count is `local`. */
export function createBurst(local: LocalRation): Burst {
  let limit: number | null = null;
  let longestRestMs = 0;
  let window: KnownWindow | null = null;
  let sent = 0;
  let sentAt: Ms = Number.NEGATIVE_INFINITY;

  function look(now: Ms): KnownWindow | null {
    const known = local.known(now);
    if (known === null) return null;
    limit = known.limit;
    longestRestMs = Math.max(longestRestMs, known.endsAt - now);
    if (known !== window) {
      // One request told of it; those under way may belong to it.
      window = known;
      sent = 1 + local.unanswered();
    }
    return known;
  }

  function periodMs(now: Ms): Ms {
    return look(now)?.periodMs ?? longestRestMs;
  }

  function part({ others, othersLive, live }: Peers): number {
    const ours = live ? LIVE_PARTS : 1;
    const all = ours + othersLive * LIVE_PARTS + (others - othersLive);
    return (((limit ?? 0) - local.kept(limit)) * ours) / all;
  }

  /** A part below one is one request in several windows. */
  function rareAt(now: Ms, peers: Peers): Ms {
    return sentAt + Math.ceil(1 / part(peers)) * Math.max(periodMs(now), LEAST_PERIOD_MS);
  }

  return {
    short: (now) => periodMs(now) <= SHORT_WINDOW_MS,
    periodMs,
    left(now, peers) {
      const known = look(now);
      if (peers.others === 0 || limit === null) return Number.POSITIVE_INFINITY;
      if (part(peers) < 1) return now >= rareAt(now, peers) ? 1 : 0;
      // At the start of a window one request finds out about it.
      return known === null ? 1 - local.unanswered() : Math.floor(part(peers)) - sent;
    },
    opensAt: (now, peers) => (part(peers) < 1 ? rareAt(now, peers) : local.reopensAt()),
    sent(now) {
      look(now);
      sent += 1;
      sentAt = now;
    },
  };
}

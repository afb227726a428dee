import type { Stand } from '../contract/source.ts';
import type { WorldClock } from '../world.ts';
import { startToyApi } from './api.ts';
import { toy } from './source.ts';
import { DDL } from './table.ts';

/** The toy, enrolled. */
export async function toyStand(clock: WorldClock): Promise<Stand> {
  const api = await startToyApi(clock);
  return {
    source: toy,
    own: { url: api.url, token: api.token },
    secrets: [api.token],
    otherOwn: { room: 'cellar' },
    add: (times) => {
      for (const at of times) api.readings.push({ id: String(api.readings.length + 1), at, value: at / 7 });
    },
    requests: () => api.requests(),
    trouble: (kind) => api.trouble(kind),
    ddl: DDL,
    close: () => api.close(),
  };
}

import type { Fault } from '../../src/sandbox/faults.ts';
import { startSandbox } from '../../src/sandbox/sandbox.ts';
import { datadog } from '../../src/sources/datadog/source.ts';
import { qstash } from '../../src/sources/qstash/source.ts';
import type { WorldClock } from '../world.ts';
import type { Stand, Trouble } from './source.ts';

const FAULTS: Readonly<Record<Trouble, Fault>> = {
  refuse: { kind: 'refuse' },
  unavailable: { kind: 'unavailable' },
  cut: { kind: 'cut' },
  quota: { kind: 'rate_limit' },
  unknown: { kind: 'unknown_envelope' },
  lost: { kind: 'bad_cursor' },
  silent: { kind: 'silent' },
};

/** QStash, as the sandbox plays it. */
export async function qstashStand(clock: WorldClock): Promise<Stand> {
  const sandbox = await startSandbox({ clock });
  return {
    source: qstash,
    own: { url: sandbox.url, token: sandbox.env.QSTASH_TOKEN },
    secrets: [sandbox.env.QSTASH_TOKEN],
    otherOwn: { state: 'FAILED' },
    add: (times) =>
      sandbox.qstash.add(
        times.map((time, n) => ({
          entry: { time, messageId: `msg_${n}`, state: 'CREATED', url: 'https://a.example/', body: 'aGk=' },
          visibleAtMs: time,
          writtenMs: time,
        })),
      ),
    requests: () => sandbox.requests().length,
    trouble: (kind) => sandbox.faults.next('qstash', FAULTS[kind]),
    ddl: [],
    close: () => sandbox.close(),
  };
}

/** Datadog, as the sandbox plays it, by one of its two APIs. */
export async function datadogStand(api: 'v1' | 'v2', clock: WorldClock): Promise<Stand> {
  const sandbox = await startSandbox({ clock });
  const { DD_API_KEY, DD_APP_KEY } = sandbox.env;
  return {
    source: datadog,
    own: { api_url: sandbox.url, api_key: DD_API_KEY, app_key: DD_APP_KEY, api },
    secrets: [DD_API_KEY, DD_APP_KEY],
    otherOwn: { query: 'service:web*' },
    add: (times) =>
      sandbox.datadog.add(
        times.map((atMs, n) => ({
          content: { timestamp: new Date(atMs).toISOString(), message: `log ${n}` },
          atMs,
          visibleAtMs: atMs,
          status: 'info',
        })),
      ),
    requests: () => sandbox.requests().length,
    trouble: (kind) => sandbox.faults.next('datadog', FAULTS[kind]),
    ddl: [],
    close: () => sandbox.close(),
  };
}

import { startSandbox } from '../../../src/sandbox/sandbox.ts';
import { beChild, childTask } from '../child.ts';

/** A sandbox, alive in a process of its own. */
export interface ApiTask {
  /** Entries a second and API, each with the time at which it is written. */
  readonly perSecond: number;
  readonly forMs: number;
  /** `live`: the sandbox's, which are those of the services; `none`: no limit and no headers. */
  readonly quota: 'live' | 'none';
}

/** Where it is. */
export interface ApiReady {
  readonly env: Readonly<Record<string, string>>;
}

/** An entry, by its name in either table, and when; ms since the epoch. */
export interface Written {
  readonly source: 'qstash' | 'datadog';
  readonly name: string;
  readonly timeMs: number;
  readonly visibleAtMs: number;
}

const TICK_MS = 50;

const { perSecond, forMs, quota } = childTask<ApiTask>();
const sandbox = await startSandbox(
  quota === 'live' ? {} : { qstash: { quota: null }, datadog: { quota: null } },
);
const ready: ApiReady = { env: sandbox.env };

await beChild(ready, async (): Promise<readonly Written[]> => {
  const beganMs = Date.now();
  const total = Math.round((perSecond * forMs) / 1000);
  for (let n = 0; n < total; ) {
    for (; n < total && beganMs + (n * 1000) / perSecond <= Date.now(); n++) {
      write(`bench-${n}`, Math.floor(beganMs + (n * 1000) / perSecond));
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  return [
    ...sandbox.qstash.truth().map(
      ({ fields, timeMs, visibleAtMs }): Written => ({
        source: 'qstash',
        name: String(fields.messageId),
        timeMs,
        visibleAtMs,
      }),
    ),
    ...sandbox.datadog.truth().map(
      ({ text, timeMs, visibleAtMs }): Written => ({
        source: 'datadog',
        name: JSON.parse(text).content.message,
        timeMs,
        visibleAtMs,
      }),
    ),
  ];
});
await sandbox.close();

/** When it becomes visible is the sandbox's to say: 0.3 to 8 s later with QStash, 5 to 49 s with Datadog. */
function write(name: string, time: number): void {
  const url = 'https://example.com/hook';
  const header = { 'Content-Type': ['application/json'] };
  const body = Buffer.from(`{"order":"${name}"}`).toString('base64');
  sandbox.qstash.add([
    { entry: { time, messageId: name, state: 'CREATED', url, header, body, method: 'POST', maxRetries: 3 } },
  ]);
  const content = {
    timestamp: new Date(time).toISOString(),
    message: name,
    host: 'web-1',
    service: 'web-store',
    tags: ['env:prod', 'source:nodejs'],
    attributes: { http: { method: 'POST', status_code: 200 }, duration: 1_234_567 },
  };
  sandbox.datadog.add([{ content, atMs: time }]);
}

import { Counter, Histogram, type Registry } from 'prom-client';
import type { ErrorKind } from '../errors.ts';
import type { RunEvent } from '../sync/run.ts';

/** How one execution of a job went: `counts` as in the report of a job. */
export interface RunEnd {
  readonly outcome: string;
  readonly error: { readonly kind: ErrorKind } | null;
  readonly counts: Readonly<Record<string, number>>;
}

/** One execution of a job, being counted. */
export interface RunCount {
  /** What its run of a stream tells while it goes on. */
  event(event: RunEvent): void;
  /** Its end, once; null: a bug ended it. */
  end(end: RunEnd | null): void;
}

/** Counters of what the runs of this process do: aggregate them with sum. */
export interface RunCounters {
  /** One execution begins; `stream` null: a job of no stream. */
  begin(job: string, stream: string | null): RunCount;
}

/** Failures that are an answer to a request, or its absence. */
const OF_REQUESTS: ReadonlySet<string> = new Set<ErrorKind>([
  'auth',
  'request',
  'unavailable',
  'protocol',
  'timeout',
  'cursor',
  'oversize',
]);

/** What a run counts upwards. */
const NOTHING = {
  new: 0,
  known: 0,
  quarantined: 0,
  ok: 0,
  retried: 0,
  failed: 0,
  bytes: 0,
  waits: 0,
  waitMs: 0,
};
type Tally = Readonly<typeof NOTHING>;

/** Registers the counters. */
export function createRunCounters(registry: Registry): RunCounters {
  const registers = [registry];
  const of = ['stream', 'job'] as const;
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Counter<Label>({ name, help, labelNames: [...labelNames], registers });
  const entries = counter(
    'logkeep_entries_total',
    'Entries received from the API, by outcome: new, known or quarantined.',
    [...of, 'outcome'],
  );
  const requests = counter(
    'logkeep_requests_total',
    'Requests by outcome: ok, retried (it failed and was sent again), or the kind of failure that ended the run.',
    [...of, 'outcome'],
  );
  const retries = counter('logkeep_request_retries_total', 'Requests that were sent again.', of);
  const bytes = counter('logkeep_received_bytes_total', 'Decoded bytes of complete answers.', of);
  const waits = counter('logkeep_quota_waits_total', 'Waits for quota.', of);
  const waitSeconds = counter('logkeep_quota_wait_seconds_total', 'Time spent waiting for quota.', of);
  const runs = counter('logkeep_runs_total', 'Executions of jobs by outcome: done, stopped, failed or bug.', [
    ...of,
    'outcome',
  ]);
  const duration = new Histogram({
    name: 'logkeep_run_duration_seconds',
    help: 'How long executions of jobs took.',
    labelNames: ['job'],
    buckets: [0.1, 0.5, 2, 10, 60, 300, 1800, 7200],
    registers,
  });

  return {
    begin(job, stream) {
      const labels = { job, stream: stream ?? '' };
      const startedAt = performance.now();
      let counted: Tally = NOTHING;
      const upTo = (tally: Tally, failure: string) => {
        const more = (key: keyof Tally) => Math.max(0, tally[key] - counted[key]);
        for (const outcome of ['new', 'known', 'quarantined'] as const) {
          if (more(outcome) > 0) entries.inc({ ...labels, outcome }, more(outcome));
        }
        if (more('ok') > 0) requests.inc({ ...labels, outcome: 'ok' }, more('ok'));
        if (more('failed') > 0) requests.inc({ ...labels, outcome: failure }, more('failed'));
        if (more('retried') > 0) {
          requests.inc({ ...labels, outcome: 'retried' }, more('retried'));
          retries.inc(labels, more('retried'));
        }
        if (more('bytes') > 0) bytes.inc(labels, more('bytes'));
        if (more('waits') > 0) waits.inc(labels, more('waits'));
        if (more('waitMs') > 0) waitSeconds.inc(labels, more('waitMs') / 1000);
        counted = tally;
      };
      return {
        event(event) {
          if (event.kind !== 'stored') return;
          const { totals, meter } = event;
          upTo(
            {
              new: totals.fresh,
              known: totals.known,
              quarantined: totals.quarantined,
              // The next page's request may be under way: how that ends is not known yet.
              ok: Math.max(counted.ok, meter.requests - meter.retries - 1),
              retried: meter.retries,
              failed: 0,
              bytes: meter.bytes,
              waits: meter.waits,
              waitMs: meter.waitMs,
            },
            'failed',
          );
        },
        end(end) {
          runs.inc({ ...labels, outcome: end?.outcome ?? 'bug' });
          duration.observe({ job }, (performance.now() - startedAt) / 1000);
          if (end === null) return;
          const { counts } = end;
          const requested = counts.requests ?? 0;
          const retried = counts.retries ?? 0;
          const kind = end.error?.kind ?? '';
          const failed = OF_REQUESTS.has(kind) && requested > retried ? 1 : 0;
          upTo(
            {
              new: counts.new ?? 0,
              known: counts.known ?? 0,
              quarantined: counts.quarantined ?? 0,
              ok: Math.max(counted.ok, requested - retried - failed),
              retried,
              failed,
              bytes: counts.bytes ?? counted.bytes,
              waits: counts.waits ?? 0,
              waitMs: counts.wait_ms ?? 0,
            },
            kind,
          );
        },
      };
    },
  };
}

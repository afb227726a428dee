import type { Clock } from '../clock.ts';
import { CONSEQUENCE, type ErrorKind, isFailure } from '../errors.ts';
import { includesScope } from '../sources/scope.ts';
import type { Quota, Stream } from '../sources/source.ts';
import { countText, lengthText } from './amounts.ts';
import type { Finding } from './check.ts';

const PATIENCE_MS = 20_000;
/** The Date header knows whole seconds, and an answer takes its time. */
const SKEW_MATTERS_MS = 5_000;

/** Where the general remedy does not lead on from `check` itself. */
const REMEDY: Partial<Record<ErrorKind, string>> = {
  auth: 'correct the credentials as said above',
  unavailable: 'check the address, the network and a proxy between; the service may be down',
  protocol: 'check the address: what answers there is not the API',
  aborted: 'check the address and the network',
};

/** Whether one cheap request is answered: the key, its permission, its region or site, then both clocks. */
export async function checkStream(
  stream: Stream,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const subject = stream.id;
  const startedMs = clock.now();
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    const { skewMs, quota } = await stream.probe(AbortSignal.any([signal, patience]));
    const found = `the API takes the key; answered in ${lengthText(clock.now() - startedMs)}${quotaText(quota)}`;
    return [{ subject, found, remedy: null }, clockFinding(subject, skewMs)];
  } catch (error) {
    if (!isFailure(error) || signal.aborted) throw error;
    if (patience.aborted) return [silence(subject, stream.quota(), clock)];
    return [
      {
        subject,
        found: error.message.replace(`${subject}: `, ''),
        remedy: REMEDY[error.kind] ?? CONSEQUENCE[error.kind].remedy,
      },
    ];
  }
}

function clockFinding(subject: string, skewMs: number | null): Finding {
  if (skewMs === null) {
    return {
      subject,
      found: 'its answers have no Date header, by which logkeep knows how far it may claim to have read',
      remedy: 'check the address and a proxy between: the API itself sends one',
    };
  }
  const off = lengthText(Math.abs(skewMs));
  if (Math.abs(skewMs) < SKEW_MATTERS_MS) {
    return { subject, found: 'its clock and ours agree', remedy: null };
  }
  return {
    subject,
    found: `the clock of this machine is ${off} ${skewMs > 0 ? 'behind' : 'ahead of'} the API's`,
    remedy:
      "set the clock of this machine by NTP; coverage is counted by the API's clock, so nothing is lost meanwhile",
  };
}

function silence(subject: string, quota: Quota, clock: Clock): Finding {
  const { remaining, resetMs } = quota;
  const waits = remaining !== null && resetMs !== null && resetMs > clock.now();
  return {
    subject,
    found: `no answer within ${lengthText(PATIENCE_MS)}${waits ? `; the quota leaves ${countText(remaining)} requests` : ''}`,
    remedy: waits
      ? `wait ${lengthText(resetMs - clock.now())} for the next quota window, or lower quota_reserve`
      : 'check the address and the network',
  };
}

function quotaText({ limit, remaining }: Quota): string {
  if (remaining === null) return '';
  return `, quota left ${countText(remaining)}${limit === null ? '' : ` of ${countText(limit)}`}`;
}

/** Pairs of streams of which one shows all that the other shows: their entries would be stored twice. */
export function overlaps(streams: readonly Stream[]): readonly Finding[] {
  const findings: Finding[] = [];
  for (const [index, a] of streams.entries()) {
    for (const b of streams.slice(index + 1)) {
      if (a.source !== b.source) continue;
      const outer = includesScope(a.scope, b.scope) ? a : includesScope(b.scope, a.scope) ? b : null;
      if (outer === null) continue;
      const inner = outer === a ? b : a;
      const same = a.fingerprint === b.fingerprint;
      findings.push({
        subject: inner.id,
        found: `${same ? 'asks for the same entries as' : 'its entries are among those of'} ${outer.id}: they are stored twice, once under each name`,
        remedy: `remove ${inner.id}, or narrow the filters of ${outer.id} so that the two do not overlap`,
      });
    }
  }
  return findings;
}

import { lengthText, timeText } from '../amounts.ts';
import { type OpenStream, openStreams } from '../app.ts';
import type { Config } from '../config.ts';
import { resolveMoment } from '../durations.ts';
import { openLog } from '../log.ts';
import { overasking, overaskingText } from '../operations/pacing.ts';
import { createRedactor } from '../redact.ts';
import { createHttp } from '../sources/http.ts';
import type { Stream, StreamSettings } from '../sources/source.ts';
import { readStatus, type StreamStatus } from '../store/status.ts';
import { checkDatabase } from './check-database.ts';
import { checkStream, overlaps } from './check-stream.ts';
import type { CliContext, ExitCode, Run } from './command.ts';
import { type Finding, fine, note, trouble } from './finding.ts';
import { readConfig, refuseUnknownStreams } from './open.ts';
import { nearExpiry } from './status-view.ts';
import { printable, tableText } from './table.ts';

/** How a finding's level stands in the table; notes are for eyes, trouble is for the exit code too. */
const LEVEL: Readonly<Record<Finding['level'], string>> = { ok: 'ok', note: 'note', trouble: 'TROUBLE' };

/** `logkeep check`: every trouble with its remedy; one trouble does not end the search for others. */
export const run: Run<'check'> = async (options, context): Promise<ExitCode> => {
  const config = readConfig(options, context);
  refuseUnknownStreams(
    options.stream,
    config.streams.map(({ id }) => id),
  );
  const chosen = config.streams.filter(
    ({ id }) => options.stream.length === 0 || options.stream.includes(id),
  );
  const findings: Finding[] = [];
  if (config.streams.length === 0) {
    findings.push(
      trouble(
        'settings',
        'no stream is set, so there is nothing to read',
        'set QSTASH_TOKEN, or DD_API_KEY and DD_APP_KEY, or declare streams in logkeep.yaml',
      ),
    );
  }
  findings.push(...(await throughDatabase(config, chosen, context)));
  findings.push(...(await throughApis(config, chosen, context)));
  const troubles = findings.filter(({ level }) => level === 'trouble').length;
  if (options.json) {
    context.stdout.write(`${JSON.stringify({ ok: troubles === 0, findings }, null, 2)}\n`);
  } else {
    context.stdout.write(
      tableText(
        ['', 'what', 'found'],
        findings.map(({ level, subject, found }) => [LEVEL[level], subject, found]),
      ),
    );
    for (const { subject, remedy } of findings) {
      if (remedy !== null) context.stderr.write(`${subject}: to do: ${printable(remedy)}\n`);
    }
  }
  return troubles === 0 ? 0 : 1;
};

async function throughDatabase(
  config: Config,
  chosen: readonly StreamSettings[],
  { clock }: CliContext,
): Promise<readonly Finding[]> {
  return checkDatabase(config, openLog(config.logLevel), async ({ db }) => {
    const known = new Map((await readStatus(db)).map((status) => [status.stream, status]));
    return chosen.map((settings) => retentionFinding(settings, known.get(settings.id) ?? null, clock.now()));
  });
}

function retentionFinding(settings: StreamSettings, status: StreamStatus | null, nowMs: number): Finding {
  const { id, since, retentionMs } = settings;
  if (status === null) {
    const from = Math.max(resolveMoment(since, nowMs), nowMs - retentionMs);
    return fine(id, `not read yet; the first sync begins at ${timeText(from)}`);
  }
  const { missingFromMs, expiresInMs } = status;
  const missing = `what is not read begins at ${timeText(missingFromMs)}`;
  if (!nearExpiry(status)) {
    return fine(id, `${missing} and expires in ${lengthText(expiresInMs)}`);
  }
  return trouble(
    id,
    expiresInMs <= 0
      ? `${missing} and is expiring now`
      : `${missing} and expires in only ${lengthText(expiresInMs)}`,
    `run \`logkeep sync --stream ${id}\` now, and more often; if your plan or index keeps entries longer than ${lengthText(retentionMs)}, set retention to that`,
  );
}

async function throughApis(
  config: Config,
  chosen: readonly StreamSettings[],
  { clock, signal }: CliContext,
): Promise<readonly Finding[]> {
  const http = createHttp({ clock });
  try {
    // Entries are not kept here, so any key will do.
    const redactor = createRedactor(new Uint8Array(32), config.redact);
    const options = { clock, log: openLog(config.logLevel), redactor, http };
    // Those that are not looked at draw on the quotas too.
    const all = openStreams(config.streams.map(impatient), options);
    const asked = all.filter(({ settings }) => chosen.some(({ id }) => id === settings.id));
    const opened = asked.map(({ stream }) => stream);
    const findings = await Promise.all(opened.map((stream) => checkStream(stream, clock, signal)));
    return [...findings.flat(), ...scheduleFindings(all, opened), ...overlaps(opened)];
  } finally {
    await http.close();
  }
}

/** Schedules that ask for more than the quotas carry that were just told. */
function scheduleFindings(all: readonly OpenStream[], opened: readonly Stream[]): readonly Finding[] {
  const told = new Map(
    opened
      .map((stream) => stream.quota())
      .flatMap((quota) => (quota.credential ? [[quota.credential, quota]] : [])),
  );
  return overasking(all, told)
    .filter((one) => opened.some(({ id }) => id === one.stream))
    .map((one) =>
      note(
        one.stream,
        overaskingText(one),
        `set schedule to "${one.carried}" or slower, or have the quota raised; sweeps and backfills get what reading leaves`,
      ),
    );
}

/** A check is answered soon or not at all. */
function impatient(settings: StreamSettings): StreamSettings {
  return {
    ...settings,
    timeoutMs: Math.min(settings.timeoutMs, 15_000),
    retryMs: Math.min(settings.retryMs, 2_000),
  };
}

import { resolve } from 'node:path';
import pg from 'pg';
import { lengthText } from '../amounts.ts';
import { type App, openApp } from '../app.ts';
import { loadConfig } from '../config.ts';
import { LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import { makeRoomForNew } from '../memory.ts';
import type { Ms } from '../model.ts';
import { syncStreams } from '../operations/sync.ts';
import { type Sandbox, startSandbox } from '../sandbox/sandbox.ts';
import { SOURCES } from '../sources/list.ts';
import { withClient } from '../store/connection.ts';
import { asDatabaseError, type Store } from '../store/database.ts';
import { openEmbedded } from '../store/embedded.ts';
import { readStatus } from '../store/status.ts';
import { answerTable } from './answer.ts';
import type { CliContext, Run } from './command.ts';
import { QUESTIONS } from './demo-questions.ts';
import { createProgress } from './progress.ts';
import { exportLines, psqlLine } from './shell.ts';
import { statusText } from './status-view.ts';
import { stopped } from './stopped.ts';
import { reportSync } from './sync-report.ts';
import { openCommandLog } from './text-log.ts';

const DAYS_MS = 2 * 86_400_000;
const MESSAGES = 6_000;
const LOGS = 20_000;
/** Held while a demo runs: it begins by dropping the tables of the one before. */
const DEMO_LOCK = 7_813_571_005;

/** `logkeep demo`: the whole of it on stand-ins, in a database of its own that each demo begins anew. */
export const run: Run<'demo'> = async (options, context) => {
  makeRoomForNew();
  const { stdout, stderr, clock, signal } = context;
  const begunMs = clock.now();
  const dir = resolve(context.cwd, `${context.env.LOGKEEP_DIR?.trim() || '.logkeep'}-demo`);
  stderr.write(
    "starting stand-ins for both APIs with two days of history, and the demo's own Postgres ...\n",
  );
  const sandbox = await startSandbox({
    seed: options.seed,
    clock,
    // As many requests as the demo needs: nobody waits for a quota here.
    qstash: { quota: { limit: 1_000, windowMs: 1000 } },
    datadog: { quota: { limit: 3_000, periodS: 3600 } },
  });
  try {
    writeHistory(sandbox, clock.now());
    // Neither the environment's streams and database nor a logkeep.yaml: the demo touches nothing real.
    const config = loadConfig({
      env: { ...sandbox.env, LOGKEEP_DIR: dir },
      cwd: dir,
      file: null,
      logLevel: options.logLevel,
      sources: SOURCES,
    });
    const log = openCommandLog(config.logLevel, false, stderr);
    const release = await beginAnew(dir, log);
    try {
      const app = await openApp(config, config.streams, clock, log);
      try {
        if (!(await synced(app, context))) return 1;
        await showAnswers(app.store, context);
        stdout.write(`\nThat took ${lengthText(clock.now() - begunMs)}.\n`);
        if (options.keep) {
          sandbox.live(1);
          stdout.write(keptText(app.url, sandbox));
          await stopped(signal);
        }
      } finally {
        await app.close();
      }
    } finally {
      await release();
    }
    stdout.write(endText(dir, options.keep));
    return 0;
  } finally {
    await sandbox.close();
  }
};

function writeHistory(sandbox: Sandbox, nowMs: Ms): void {
  const span = { from: nowMs - DAYS_MS, to: nowMs };
  sandbox.qstash.history({ ...span, messages: MESSAGES });
  sandbox.datadog.history({ ...span, logs: LOGS });
}

/** Empties the demo's database; returns what lets another demo use it. */
async function beginAnew(dir: string, log: Log): Promise<() => Promise<void>> {
  const embedded = await openEmbedded({ dir, log });
  const client = new pg.Client({ connectionString: embedded.url, application_name: 'logkeep demo' });
  client.on('error', () => undefined);
  const release = async () => {
    await client.end().catch(() => undefined);
    await embedded.release();
  };
  try {
    await client.connect();
    const { rows } = await client.query('select pg_try_advisory_lock($1) as alone', [DEMO_LOCK]);
    if (!rows[0].alone) {
      throw new LogkeepError(
        'config',
        `${dir}: another demo is running here: stop it, or run this one in another folder`,
      );
    }
    await client.query('set client_min_messages = warning');
    await client.query('drop schema if exists logkeep cascade');
    return release;
  } catch (error) {
    await release();
    throw asDatabaseError('empty the database of the demo', error);
  }
}

async function synced(app: App, context: CliContext): Promise<boolean> {
  const view = createProgress(context, { json: false, live: true });
  try {
    const results = await syncStreams(app, {
      since: null,
      untilMs: null,
      again: null,
      signal: context.signal,
      mayRequest: () => true,
      watch: (stream, event) => view.update(stream, event),
    });
    view.close();
    await reportSync(app, results, { context, json: false, shares: new Map(), untilMs: null });
    return results.every(({ outcome }) => outcome === 'done');
  } finally {
    view.close();
  }
}

async function showAnswers({ db, pool }: Store, { stdout, clock }: CliContext): Promise<void> {
  const listed = (await readStatus(db)).map(
    (status) => ({ stream: status.stream, status, setting: 'in force' }) as const,
  );
  stdout.write(`\nlogkeep status\n\n${statusText(listed, clock.now(), stdout.columns ?? null)}`);
  for (const { title, sql } of QUESTIONS) {
    const { text } = await withClient(pool, (client) => answerTable(client, sql));
    stdout.write(`\n${title}\n\n${indented(sql)}\n\n${text}`);
  }
}

function indented(sql: string): string {
  return sql.replaceAll(/^/gm, '    ');
}

function keptText(url: string, sandbox: Sandbox): string {
  return `
The database and the stand-ins (with a new message and a new log each second) keep running until Ctrl-C. In another terminal:

  ${psqlLine(url)}

or keep syncing from the stand-ins:

${exportLines({ ...sandbox.env, DATABASE_URL: url }).replaceAll(/^(?=.)/gm, '  ')}  npx logkeep sync
`;
}

function endText(dir: string, kept: boolean): string {
  const around = kept
    ? ''
    : 'To look around with psql:   npx logkeep demo --keep     (it prints the psql command, and runs until Ctrl-C)\n';
  return `
${around}To copy your own logs:      QSTASH_TOKEN=... npx logkeep sync
                            DD_API_KEY=... DD_APP_KEY=... DD_SITE=datadoghq.eu npx logkeep sync
To query them in SQL:       npx logkeep query "select state, count(*) from qstash_log group by 1"
Or with psql:               npx logkeep db              (it prints the psql command, and runs until Ctrl-C)
To keep them complete:      npx logkeep serve           (with the variables of sync)
Is everything in order?     npx logkeep check
To use your own Postgres, add DATABASE_URL=postgres://user:password@host/name to any of these.
The demo's files are in ${dir}; remove that folder when you are done.
`;
}

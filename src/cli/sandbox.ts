import { amountText, lengthText } from '../amounts.ts';
import { LogkeepError } from '../errors.ts';
import { startSandbox } from '../sandbox/sandbox.ts';
import type { Run } from './command.ts';
import { exportLines } from './shell.ts';
import { stopped } from './stopped.ts';

/** New messages, and as many logs, in a second. */
const LIVE_PER_SECOND = 1;
/** Entries in a message's life, on average. */
const ENTRIES_PER_MESSAGE = 3.8;

/** `logkeep sandbox`: both stand-ins until a signal; the environment that points logkeep at them on stdout. */
export const run: Run<'sandbox'> = async (
  { port, seed, historyMs, entries, json },
  { stdout, stderr, clock, signal },
) => {
  const sandbox = await startSandbox({ seed, clock, port }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
    throw new LogkeepError(
      'config',
      `--port: ${port}: cannot be used (${error.code}): choose another, or 0 for any free one`,
    );
  });
  try {
    const to = clock.now();
    const span = { from: to - historyMs, to };
    sandbox.qstash.history({ ...span, messages: Math.round(entries / ENTRIES_PER_MESSAGE) });
    sandbox.datadog.history({ ...span, logs: entries });
    sandbox.live(LIVE_PER_SECOND);
    stdout.write(
      json ? `${JSON.stringify({ url: sandbox.url, env: sandbox.env })}\n` : exportLines(sandbox.env),
    );
    stderr.write(
      `stand-ins for both APIs at ${sandbox.url}: about ${amountText(entries, 'entry', 'entries')} each over ${lengthText(historyMs)}, ` +
        'and new ones each second, all of which GET /sandbox/truth lists; in another terminal, set the variables above and run `logkeep sync` or `logkeep serve`; Ctrl-C stops\n',
    );
    await stopped(signal);
    return 0;
  } finally {
    await sandbox.close();
  }
};

import Table from 'cli-table3';
import { hasCluster } from '../store/embedded-home.ts';
import type { Run } from './command.ts';
import { readConfig } from './open.ts';
import { NO_LINES } from './table.ts';

/** `logkeep config`: every setting in effect, secrets masked, and where it came from. */
export const run: Run<'config'> = async (options, context) => {
  const { stdout, stderr } = context;
  const config = readConfig(options, context, 'optional');
  if (options.json) {
    const streams = config.streams.map(({ id }) => id);
    const { file, effective: settings, notes } = config;
    stdout.write(`${JSON.stringify({ file, streams, settings, notes }, null, 2)}\n`);
    return 0;
  }
  const table = new Table({
    head: ['setting', 'value', 'from'],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: NO_LINES,
  });
  for (const { setting, value, from } of config.effective) {
    table.push([setting, Array.isArray(value) ? value.join('\n') : String(value), from]);
  }
  stdout.write(`${table.toString().replaceAll(/ +$/gm, '').trim()}\n`);
  for (const sentence of config.notes) stderr.write(`${sentence}\n`);
  if (config.database.url === null) {
    const { dir } = config.database;
    const unmade = (await hasCluster(dir)) ? '' : ', which the first sync makes';
    stderr.write(`database_url is not set: an embedded Postgres in ${dir} is used${unmade}\n`);
  }
  if (config.streams.length === 0) {
    stderr.write('no stream is set: `logkeep --help` says which environment variables define one\n');
  }
  return 0;
};

import Table from 'cli-table3';
import { loadConfig } from '../config.ts';
import { SOURCES } from '../sources/list.ts';
import { hasCluster } from '../store/embedded-home.ts';
import type { Run } from './command.ts';

/** `logkeep config`: every setting in effect, secrets masked, and where it came from. */
export const run: Run<'config'> = async (options, { env, cwd, stdout, stderr }) => {
  const config = loadConfig({
    env,
    cwd,
    file: options.config,
    logLevel: options.logLevel,
    sources: SOURCES,
    streams: 'optional',
  });
  if (options.json) {
    const streams = config.streams.map(({ id }) => id);
    stdout.write(`${JSON.stringify({ file: config.file, streams, settings: config.effective }, null, 2)}\n`);
    return 0;
  }
  const table = new Table({
    head: ['setting', 'value', 'from'],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: PLAIN,
  });
  for (const { setting, value, from } of config.effective) {
    table.push([setting, Array.isArray(value) ? value.join('\n') : String(value), from]);
  }
  stdout.write(`${table.toString().replaceAll(/ +$/gm, '').trim()}\n`);
  if (config.database.url === null) {
    const { dir } = config.database;
    const unmade = (await hasCluster(dir)) ? '' : ', which the first sync makes';
    stderr.write(`database_url is not set: an embedded Postgres in ${dir} is used${unmade}\n`);
  }
  if (config.streams.length === 0) {
    stderr.write('no stream is set: `logkeep --help` says which environment variables make one\n');
  }
  return 0;
};

/** Columns without lines between. */
const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

import { JOBS } from '../../jobs/list.ts';
import { type Config, loadConfig } from '../config.ts';
import { type Log, openLog } from '../log.ts';
import { serve } from '../serve/serve.ts';
import { SOURCES } from '../sources/list.ts';
import { readVersion } from '../version.ts';
import type { Run } from './command.ts';

/** `logkeep serve`: keeps every stream complete until told to stop. */
export const run: Run<'serve'> = async (options, context) => {
  const { env, cwd, clock, signal } = context;
  const reread = (): Config =>
    loadConfig({
      env,
      cwd,
      file: options.config,
      logLevel: options.logLevel,
      port: options.port,
      sources: SOURCES,
    });
  const config = reread();
  let current = openLog(levelOf(config));
  const log: Log = {
    debug: (fields, message) => current.debug(fields, message),
    info: (fields, message) => current.info(fields, message),
    warn: (fields, message) => current.warn(fields, message),
    error: (fields, message) => current.error(fields, message),
  };
  await serve({
    config,
    reread,
    jobs: JOBS,
    version: readVersion(),
    clock,
    log,
    setLevel: (next) => {
      current = openLog(levelOf(next));
    },
    signal,
    onHangup: context.onHangup ?? (() => {}),
  });
  return 0;
};

/** A line for each run is what an operator expects of a service, where nothing else was said. */
function levelOf({ logLevel, effective }: Config): string {
  const said = effective.find(({ setting }) => setting === 'log_level');
  return said?.from === 'default' ? 'info' : logLevel;
}
